//! The catalog: names, who may do what, principals and tokens, lineage.

mod authorize;
mod cascade;
mod lineage;
mod names;
mod tokens;

use std::sync::Arc;

use serde_json::{Value, json};
use strongback::{
    auth::Caller,
    catalog::{Kind, asset, authorize_admin, bootstrap, principal},
    context::Ctx,
    db::{Change, Origin},
    events::{Event, EventKind},
};

use crate::support::{Answer, TestApp, request};

const CATALOGS: &str = "/api/2.1/unity-catalog/catalogs";
const SCHEMAS: &str = "/api/2.1/unity-catalog/schemas";
const TABLES: &str = "/api/2.1/unity-catalog/tables";

/// Catalog `prod`, schema `prod.risk`.
pub async fn prod_risk(test: &TestApp) {
    crate::support::ok(&test.post(CATALOGS, json!({ "name": "prod" })).await);
    crate::support::ok(&test.post(SCHEMAS, json!({ "name": "risk", "catalog_name": "prod" })).await);
}

pub async fn declare(test: &TestApp, name: &str) {
    let parts: Vec<&str> = name.split('.').collect();
    let body = json!({ "catalog_name": parts[0], "schema_name": parts[1], "name": parts[2] });
    crate::support::ok(&test.post(TABLES, body).await);
}

async fn send(test: &TestApp, method: &str, path: &str, body: Value) -> Answer {
    test.send(request(method, path, Some(body))).await
}

/// Makes an asset in the default schema, as the slices above the catalog do.
async fn plain_asset(test: &TestApp, kind: Kind, name: &'static str) -> i64 {
    let make = move |tx: &mut strongback::db::Sql<'_>| {
        authorize_admin(tx, "make an asset")?;
        let schema = bootstrap::default_schema(tx)?;
        let made = asset::create(
            tx,
            &asset::NewAsset {
                parent_id: Some(schema.id),
                kind,
                leaf: name,
                leaf_key: name,
                wire_name: Some(name),
                owner_id: principal::ADMINS,
                comment: None,
                properties: None,
            },
        )?;
        Ok(Change::Made(made.id, Event::new(EventKind::ModelCreate).asset(made.id, made.revision)))
    };
    test.system().write(make).await.unwrap()
}

/// The application as a principal sees it that exists.
async fn acting_as(test: &TestApp, name: &str) -> Ctx {
    let wanted = name.to_owned();
    let find = move |sql: &mut strongback::db::Sql<'_>| {
        let id = principal::require(sql, &wanted)?;
        Ok(Caller { id, name: wanted.clone(), groups: principal::groups_of(sql, id)? })
    };
    let caller = test.app.db.read(&Origin::system(), find).await.unwrap();
    let origin = Origin { caller: Arc::new(caller), ..Origin::system() };
    Ctx { app: Arc::clone(&test.app), origin }
}
