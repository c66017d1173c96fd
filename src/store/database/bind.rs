//! Encodes bound values for each of the two databases.

use chrono::SubsecRound;
use sqlx::error::BoxDynError;
use sqlx::types::Json;
use sqlx::{Arguments, Database, Postgres, Sqlite};

use super::sql::Value;

/// Encodes values as the arguments of one of the two databases.
pub(super) trait Bind: Database {
    fn arguments(values: Vec<Value>) -> Result<Self::Arguments, sqlx::Error>;
}

macro_rules! bind {
    ($database:ty) => {
        impl Bind for $database {
            fn arguments(values: Vec<Value>) -> Result<Self::Arguments, sqlx::Error> {
                let mut arguments = <Self as Database>::Arguments::default();
                for value in values {
                    let added: Result<(), BoxDynError> = match value {
                        Value::Bool(value) => arguments.add(value),
                        Value::Integer(value) => arguments.add(value),
                        Value::Text(value) => arguments.add(value),
                        Value::Bytes(value) => arguments.add(value),
                        Value::Uuid(value) => arguments.add(value),
                        Value::Time(value) => arguments.add(value.map(|time| time.trunc_subsecs(6))),
                        Value::Json(value) => arguments.add(Json(value)),
                    };
                    added.map_err(sqlx::Error::Encode)?;
                }
                Ok(arguments)
            }
        }
    };
}
bind!(Postgres);
bind!(Sqlite);
