//! Structs that are read from the rows of both databases.
//!
//! sqlx has a derive macro for this, which compiles both database drivers a second time, for the build itself.

/// Defines a struct whose fields are read from the columns of the same names. A last field with `..` is read from the same row.
macro_rules! row {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_attribute:meta])* $field_visibility:vis $field:ident: $type:ty,)*
            $(..$rest:ident: $rest_type:ty,)?
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $name {
            $($(#[$field_attribute])* $field_visibility $field: $type,)*
            $($rest: $rest_type,)?
        }

        $crate::store::database::row::row!(@read sqlx::postgres::PgRow, $name, [$($field)*], [$($rest)?]);
        $crate::store::database::row::row!(@read sqlx::sqlite::SqliteRow, $name, [$($field)*], [$($rest)?]);
    };
    (@read $row:ty, $name:ident, [$($field:ident)*], [$($rest:ident)?]) => {
        impl<'r> sqlx::FromRow<'r, $row> for $name {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                Ok(Self {
                    $($field: sqlx::Row::try_get(row, stringify!($field))?,)*
                    $($rest: sqlx::FromRow::from_row(row)?,)?
                })
            }
        }
    };
}

pub(in crate::store) use row;
