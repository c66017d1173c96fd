//! Plans: sets of features and quotas that administrators manage.

use std::collections::BTreeMap;

use super::permissions;
use crate::model::caller::Caller;
use crate::model::plan::{Features, Plan, PlanName};
use crate::service::Service;
use crate::service::error::{Error, Fields};
use crate::store;

/// The maximum number of plans.
const MAX_PLANS: u64 = 200;

impl Service {
    /// Lists all plans by name, for authenticated callers.
    ///
    /// # Errors
    /// The caller is not authenticated.
    pub async fn list_plans(&self, caller: &Caller) -> Result<Vec<Plan>, Error> {
        permissions::plan_viewer(caller)?;
        Ok(store::identity::plans::all(&self.db).await?)
    }

    /// # Errors
    /// The caller is not authenticated, or there is no such plan.
    pub async fn find_plan(&self, caller: &Caller, name: &PlanName) -> Result<Plan, Error> {
        permissions::plan_viewer(caller)?;
        store::identity::plans::find(&self.db, name).await?.ok_or_else(no_such_plan)
    }

    /// Creates a plan. Administrators only.
    ///
    /// # Errors
    /// The caller is not an administrator, the features conflict, or the name is taken.
    pub async fn create_plan(&self, caller: &Caller, name: PlanName, features: Features) -> Result<Plan, Error> {
        let admin = permissions::admin(caller)?;
        check(&features)?;
        let mut tx = self.db.begin().await?;
        if store::identity::plans::count(&mut tx).await? >= MAX_PLANS {
            return Err(Error::Conflict { message: format!("There are already {MAX_PLANS} plans. Delete one first.") });
        }
        if !store::identity::plans::insert(&mut tx, &name, &features).await? {
            return Err(Error::Conflict { message: format!("There is already a plan named \"{name}\".") });
        }
        self.audit(&mut tx, admin, "plan.created", &name, describe(&features)).await?;
        tx.commit().await?;
        Ok(Plan { name, features, built_in: false })
    }

    /// Changes the features of a plan, with immediate effect for all its accounts. Administrators only.
    ///
    /// # Errors
    /// The caller is not an administrator, the features conflict, or there is no such plan.
    pub async fn change_plan(&self, caller: &Caller, name: &PlanName, features: Features) -> Result<Plan, Error> {
        let admin = permissions::admin(caller)?;
        check(&features)?;
        let mut tx = self.db.begin().await?;
        if !store::identity::plans::set_features(&mut tx, name, &features).await? {
            return Err(no_such_plan());
        }
        let plan = store::identity::plans::find(&mut tx, name).await?.ok_or_else(no_such_plan)?;
        self.audit(&mut tx, admin, "plan.changed", name, describe(&features)).await?;
        tx.commit().await?;
        Ok(plan)
    }

    /// Deletes an unused plan. Administrators only.
    ///
    /// # Errors
    /// The caller is not an administrator, there is no such plan, it is built in, or an account has it.
    pub async fn delete_plan(&self, caller: &Caller, name: &PlanName) -> Result<(), Error> {
        let admin = permissions::admin(caller)?;
        let mut tx = self.db.begin().await?;
        let plan = store::identity::plans::lock(&mut tx, name).await?.ok_or_else(no_such_plan)?;
        if plan.built_in {
            return Err(Error::Conflict {
                message: format!("The plan \"{name}\" is built in. It can be changed, but not deleted."),
            });
        }
        if !store::identity::plans::delete(&mut tx, name).await? {
            return Err(Error::Conflict {
                message: format!("Accounts use the plan \"{name}\". Assign another plan to them first."),
            });
        }
        self.audit(&mut tx, admin, "plan.deleted", name, BTreeMap::new()).await?;
        Ok(tx.commit().await?)
    }
}

fn no_such_plan() -> Error {
    Error::NotFound { what: "such plan".to_owned() }
}

fn check(features: &Features) -> Result<(), Error> {
    if features.expiring_links && !features.original {
        let rule = "requires original, because share links lead to originals";
        return Err(Error::Invalid(Fields::from([("expiring_links".to_owned(), rule.to_owned())])));
    }
    Ok(())
}

fn describe(features: &Features) -> BTreeMap<String, String> {
    let Features { thumbnails, original, expiring_links, custom_sizes, imports, max_bytes, max_images } = features;
    let thumbnails: Vec<_> = thumbnails.iter().map(|size| size.public_name()).collect();
    let limit = |max: &Option<u64>| max.map_or_else(|| "none".to_owned(), |max| max.to_string());
    BTreeMap::from(
        [
            ("thumbnails", thumbnails.join(", ")),
            ("original", original.to_string()),
            ("expiring_links", expiring_links.to_string()),
            ("custom_sizes", custom_sizes.to_string()),
            ("imports", imports.to_string()),
            ("max_bytes", limit(max_bytes)),
            ("max_images", limit(max_images)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}
