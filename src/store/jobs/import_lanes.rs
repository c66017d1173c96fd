//! The `import_users` and `import_lanes` tables: the users with pending items, in the order of their turns, and the hosts of
//! those items. They find the next item without scanning all items. The queue must be locked for all writes.

use std::collections::BTreeSet;

use crate::model::caller::UserId;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;

/// Records that these users have pending items on these hosts.
pub(in crate::store) async fn open(tx: &mut Tx, lanes: &BTreeSet<(&str, &str)>) -> Result<(), Error> {
    if lanes.is_empty() {
        return Ok(());
    }
    let mut users = Sql::new("insert into import_users (user_id, served) values ");
    for (number, user) in lanes.iter().map(|(user, _)| user).collect::<BTreeSet<_>>().into_iter().enumerate() {
        users.push(if number == 0 { "(" } else { ", (" }).push_bind(*user).push(", 0)");
    }
    users.push(" on conflict (user_id) do nothing");
    tx.execute(users).await?;
    let mut sql = Sql::new("insert into import_lanes (user_id, host) values ");
    for (number, (user, host)) in lanes.iter().enumerate() {
        sql.push(if number == 0 { "(" } else { ", (" }).push_bind(*user);
        sql.push(", ").push_bind(*host).push(")");
    }
    sql.push(" on conflict (user_id, host) do nothing");
    tx.execute(sql).await.map(drop)
}

/// Deletes the row of a host on which the user has no pending items, and the user's row with the last one.
pub(in crate::store) async fn close(tx: &mut Tx, user: &str, host: &str) -> Result<(), Error> {
    let lane = Sql::new("delete from import_lanes where user_id = $1 and host = $2");
    tx.execute(lane.bind(user).bind(host)).await?;
    let user_row =
        Sql::new("delete from import_users where user_id = $1 and not exists (select 1 from import_lanes where user_id = $1)");
    tx.execute(user_row.bind(user)).await.map(drop)
}

/// Returns the next user and host: of the user who was served longest ago, except the users in `except` and hosts with `per_host`
/// running items.
pub(in crate::store) async fn find_next(
    tx: &mut Tx,
    per_host: u32,
    except: &[UserId],
) -> Result<Option<(String, String)>, Error> {
    tx.fetch_optional(next(per_host, except)).await
}

fn next(per_host: u32, except: &[UserId]) -> Sql {
    // A cross join makes SQLite visit users in order and then their lanes; otherwise it would sort all lanes.
    let mut sql = Sql::new("select u.user_id, l.host from import_users u cross join import_lanes l where l.user_id = u.user_id ");
    sql.push(
        "and l.host not in (select r.host from import_items r where r.state = 'running' group by r.host having count(*) >= ",
    );
    sql.push_bind(per_host).push(")");
    for user in except {
        sql.push(" and u.user_id <> ").push_bind(user.as_str());
    }
    sql.push(" order by u.served, u.user_id limit 1");
    sql
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::query_plans::Planner;

    /// The search stops at the first lane with capacity, however many there are.
    #[tokio::test]
    async fn sqlite_walks_the_users_in_their_order_and_sorts_nothing() {
        let steps = Planner::new().await.plan(next(4, &[UserId::parse("alice").unwrap()])).await;
        assert!(steps[0].contains("import_users_by_turn"), "{steps:?}");
        assert!(steps.iter().all(|step| !step.contains("TEMP B-TREE")), "{steps:?}");
    }
}
