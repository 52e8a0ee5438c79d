//! Who may do what: the whole matrix, reviewed as a picture.

use std::{fmt::Write as _, sync::Arc};

use serde_json::json;
use strongback::{
    auth::Caller,
    catalog::{Action, authorize::is_allowed, names},
    context::Ctx,
    db::Origin,
};

use super::{TABLES, acting_as, declare, prod_risk, send};
use crate::support::{TestApp, ok, on_every_store};

const ASSETS: &[&str] = &["prod", "prod.risk", "prod.risk.t", "main", "main.default", "main.default.d"];
const ACTIONS: &[(Action, char)] = &[
    (Action::Read, 'R'),
    (Action::Create, 'C'),
    (Action::Edit, 'E'),
    (Action::Delete, 'D'),
    (Action::Manage, 'M'),
];

async fn set_owner(test: &TestApp, name: &str, owner: &str) {
    ok(&send(test, "PATCH", "/api/1.0/owner", json!({ "name": name, "owner": owner })).await);
}

/// People: an administrator, owners on each level (the schema's is a group, in which somebody is through another
/// group), and a stranger.
async fn set_up(test: &TestApp) {
    prod_risk(test).await;
    declare(test, "prod.risk.t").await;
    declare(test, "main.default.d").await;
    for (name, kind, admin) in [
        ("admin", "user", true),
        ("of-catalog", "user", false),
        ("of-schema", "user", false),
        ("of-table", "service_principal", false),
        ("stranger", "user", false),
        ("risk", "group", false),
        ("risk-ml", "group", false),
    ] {
        let body = json!({ "name": name, "kind": kind, "admin": admin });
        ok(&test.post("/api/1.0/principals", body).await);
    }
    ok(&test.post("/api/1.0/groups/risk/members", json!({ "member": "risk-ml" })).await);
    ok(&test.post("/api/1.0/groups/risk-ml/members", json!({ "member": "of-schema" })).await);
    set_owner(test, "prod", "of-catalog").await;
    set_owner(test, "prod.risk", "risk").await;
    set_owner(test, "prod.risk.t", "of-table").await;
}

async fn row(ctx: Ctx) -> String {
    let read = |sql: &mut strongback::db::Sql<'_>| {
        let mut row = String::new();
        for name in ASSETS {
            let asset = names::resolve(sql, name, None)?;
            let mut cell = String::new();
            for (action, letter) in ACTIONS {
                cell.push(if is_allowed(sql, *action, asset.id)? { *letter } else { '-' });
            }
            write!(row, "  {cell}").unwrap();
        }
        Ok(row)
    };
    ctx.read(read).await.unwrap()
}

#[test]
fn the_matrix() {
    on_every_store(async |test: TestApp| {
        set_up(&test).await;
        let mut picture = format!("{:<11}{}\n", "", heading());
        for who in ["admin", "of-catalog", "of-schema", "of-table", "stranger"] {
            writeln!(picture, "{who:<11}{}", row(acting_as(&test, who).await).await).unwrap();
        }
        let origin = Origin { caller: Caller::nobody(), ..Origin::system() };
        let nobody = Ctx { app: Arc::clone(&test.app), origin };
        writeln!(picture, "{:<11}{}", "nobody", row(nobody).await).unwrap();
        insta::allow_duplicates! { insta::assert_snapshot!(picture, @r"
                     prod   risk   t      main   default  d
        admin        RCEDM  RCEDM  RCEDM  RCEDM  RCEDM  RCEDM
        of-catalog   RCEDM  RCEDM  RCEDM  R----  RC---  RC---
        of-schema    -----  RCEDM  RCEDM  R----  RC---  RC---
        of-table     -----  -----  RCEDM  R----  RC---  RC---
        stranger     -----  -----  -----  R----  RC---  RC---
        nobody       -----  -----  -----  -----  -----  -----
        "); }
    });
}

/// The last part of each name, at the width of a cell.
fn heading() -> String {
    let cells: String =
        ASSETS.iter().map(|name| format!("  {:<5}", name.rsplit('.').next().unwrap_or_default())).collect();
    cells.trim_end().to_owned()
}

#[test]
fn lists_show_what_one_may_read_and_no_more() {
    on_every_store(async |test: TestApp| {
        set_up(&test).await;
        let seen = async |who: &str| {
            let ctx = acting_as(&test, who).await;
            let page = move |sql: &mut strongback::db::Sql<'_>| {
                let root = strongback::catalog::bootstrap::metastore(sql)?;
                let paging = strongback::catalog::securable::Paging::default();
                strongback::catalog::securable::page(
                    sql,
                    root.id,
                    strongback::catalog::Kind::Catalog,
                    &paging,
                )
            };
            let (found, _) = ctx.read(page).await.unwrap();
            found.into_iter().map(|asset| asset.leaf).collect::<Vec<_>>()
        };
        assert_eq!(seen("admin").await, ["main", "prod"]);
        assert_eq!(seen("of-catalog").await, ["main", "prod"]);
        assert_eq!(seen("stranger").await, ["main"]);
    });
}

#[test]
fn a_refusal_names_the_owner() {
    on_every_store(async |test: TestApp| {
        set_up(&test).await;
        let ctx = acting_as(&test, "stranger").await;
        let read = |sql: &mut strongback::db::Sql<'_>| {
            let found = names::resolve(sql, "prod.risk.t", None)?;
            strongback::catalog::authorize(sql, Action::Read, found.id)
        };
        let error = ctx.read(read).await.unwrap_err();
        assert!(error.message().contains("Its owner is of-table"), "{error}");
        let exists = ok(&test.get(&format!("{TABLES}/prod.risk.t/exists")).await).clone();
        assert_eq!(exists, json!({ "table_exists": true }));
    });
}

#[test]
fn groups_reach_through_any_number_of_groups() {
    on_every_store(async |test: TestApp| {
        let body = json!({ "name": "ana" });
        ok(&test.post("/api/1.0/principals", body).await);
        let mut member = "ana".to_owned();
        for n in 0..20 {
            let group = format!("g{n}");
            ok(&test.post("/api/1.0/principals", json!({ "name": group, "kind": "group" })).await);
            ok(&test.post(&format!("/api/1.0/groups/{group}/members"), json!({ "member": member })).await);
            // A second way to one of them, so that a group is reached twice.
            if n == 1 {
                ok(&test.post(&format!("/api/1.0/groups/{group}/members"), json!({ "member": "ana" })).await);
            }
            member = group;
        }
        let groups = acting_as(&test, "ana").await.origin.caller.groups.clone();
        assert_eq!(groups.len(), 21, "twenty, and everybody's: {groups:?}");
        assert!(groups.is_sorted());
    });
}
