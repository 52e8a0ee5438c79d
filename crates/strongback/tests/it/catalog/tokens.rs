//! Principals, groups and tokens, with authentication on.

use serde_json::json;

use crate::support::{TestApp, call, ok, on_every_store_with, token_of};

fn with_tokens<F: Future<Output = ()>>(test: impl Fn(TestApp) -> F) {
    on_every_store_with(&[("auth", "tokens")], test);
}

#[test]
fn a_principal_has_its_own_tokens_and_sees_no_others() {
    with_tokens(async |test: TestApp| {
        let (ana, bob) = (token_of(&test, "ana", false).await, token_of(&test, "bob", false).await);
        let body = json!({ "comment": "laptop", "lifetime_seconds": 60 });
        let made = call(&test, &ana, "POST", "/api/2.0/token/create", Some(body)).await;
        let value = ok(&made)["token_value"].as_str().unwrap().to_owned();
        let id = made.json["token_info"]["token_id"].as_str().unwrap().to_owned();
        let listed = call(&test, &value, "GET", "/api/2.0/token/list", None).await;
        assert_eq!(ok(&listed)["token_infos"].as_array().unwrap().len(), 2);
        assert!(!listed.json.to_string().contains("sbt_"), "a list shows no secrets");

        let revoke = async |token: &str| {
            call(&test, token, "POST", "/api/2.0/token/delete", Some(json!({ "token_id": id }))).await
        };
        assert_eq!(revoke(&bob).await.error_code(), "RESOURCE_DOES_NOT_EXIST");
        ok(&revoke(&ana).await);
        let refused = call(&test, &value, "GET", "/api/2.0/token/list", None).await;
        assert_eq!((refused.status, refused.error_code()), (401, "UNAUTHENTICATED"));
    });
}

#[test]
fn administration_is_for_administrators() {
    with_tokens(async |test: TestApp| {
        let (admin, bob) = (token_of(&test, "root", true).await, token_of(&test, "bob", false).await);
        let calls = [
            ("POST", "/api/1.0/principals", Some(json!({ "name": "eve", "admin": true }))),
            ("GET", "/api/1.0/principals", None),
            ("POST", "/api/1.0/groups/admins/members", Some(json!({ "member": "bob" }))),
            ("POST", "/api/1.0/tokens", Some(json!({ "principal": "root" }))),
            ("GET", "/api/1.0/tokens", None),
        ];
        for (method, path, body) in calls.clone() {
            let refused = call(&test, &bob, method, path, body).await;
            assert_eq!((refused.status, refused.error_code()), (403, "PERMISSION_DENIED"), "{method} {path}");
        }
        for (method, path, body) in calls {
            ok(&call(&test, &admin, method, path, body).await);
        }
        // The last call but two made bob an administrator, at once and for the token that he has.
        ok(&call(&test, &bob, "GET", "/api/1.0/tokens", None).await);
        ok(&call(&test, &admin, "DELETE", "/api/1.0/groups/admins/members/bob", None).await);
        assert_eq!(call(&test, &bob, "GET", "/api/1.0/tokens", None).await.status, 403);
    });
}

#[test]
fn what_is_wrong_with_principals_and_groups_is_said() {
    with_tokens(async |test: TestApp| {
        let admin = token_of(&test, "root", true).await;
        for name in ["a", "b"] {
            let body = json!({ "name": name, "kind": "group" });
            ok(&call(&test, &admin, "POST", "/api/1.0/principals", Some(body)).await);
        }
        let add = async |group: &str, member: &str| {
            let path = format!("/api/1.0/groups/{group}/members");
            call(&test, &admin, "POST", &path, Some(json!({ "member": member }))).await
        };
        ok(&add("a", "b").await);
        ok(&add("a", "b").await);
        for (group, member, part) in [
            ("b", "a", "circle"),
            ("a", "a", "circle"),
            ("users", "root", "Everybody"),
            ("root", "a", "not a group"),
            ("a", "nobody-there", "does not exist"),
            ("b", "local", "built in"),
        ] {
            let refused = add(group, member).await;
            let message = refused.json["message"].as_str().unwrap_or_default();
            assert!(message.contains(part), "{member} into {group}: {refused:?}");
        }
        for body in [
            json!({ "name": "root" }),
            json!({ "name": "" }),
            json!({ "name": "a:b" }),
            json!({ "name": "x", "kind": "robot" }),
        ] {
            let refused = call(&test, &admin, "POST", "/api/1.0/principals", Some(body.clone())).await;
            assert_eq!(refused.status, 400, "{body}: {refused:?}");
        }
        for body in [
            json!({ "principal": "a" }),
            json!({ "principal": "local" }),
            json!({ "principal": "root", "lifetime_seconds": 0 }),
            json!({}),
        ] {
            let refused = call(&test, &admin, "POST", "/api/1.0/tokens", Some(body.clone())).await;
            assert_eq!(refused.status, 400, "{body}: {refused:?}");
        }
    });
}

static FORGET: strongback::db::Stmt = strongback::db::Stmt::new("DELETE FROM principal WHERE name = $1");
static ID: strongback::db::Stmt = strongback::db::Stmt::new("SELECT id FROM principal WHERE name = $1");

#[test]
fn the_number_of_an_erased_principal_is_not_given_again() {
    crate::support::on_every_store(async |test| {
        let mut given = Vec::new();
        for name in ["ana", "bob", "cyd"] {
            ok(&test.post("/api/1.0/principals", json!({ "name": name })).await);
            let id = test.app.db.derive(move |tx| {
                let id: i64 = tx.one(&ID, strongback::bind![name], |row| row.get(0))?;
                tx.execute(&FORGET, strongback::bind![name])?;
                Ok(id)
            });
            given.push(id.await.unwrap());
        }
        assert_eq!(given, [1000, 1001, 1002]);
    });
}
