//! Where a command about principals, tokens and what the audit log forgets does its work: in the data directory itself, or through a server.
//!
//! The first token must be there before a server that asks for tokens can be spoken to, so these commands open the data
//! directory when no server has it. Naming a server (`--server`, STRONGBACK_URL) always goes through it, and so does a
//! call from elsewhere, where there is no data directory: a token in a new store would be of no use to the server.

use std::{path::Path, sync::Arc};

use http::Method;
use serde_json::{Value as Json, json};

use super::{
    client::{Client, Remote, segment},
    printer,
    settings::StoreArgs,
};
use crate::{
    app,
    catalog::{
        audit_erase::{self, EraseRequest, EraseResponse},
        principals, tokens,
    },
    config::Source,
    context::{App, Ctx},
    error::{Code, Error, Result},
    events::key,
    router::wire::Int64,
};

/// Where the work is done.
pub(super) enum Place {
    /// In the data directory, which this process holds.
    Here(Arc<App>, tokio::runtime::Runtime),
    /// Through a server.
    Server(Client),
}

/// A token that was made.
pub(super) struct NewToken {
    /// The secret.
    pub value: String,
    /// All else about it.
    pub info: Json,
}

impl Place {
    /// Opens the data directory if no server was named and none holds it. A directory that the command names goes before a server
    /// that the environment does.
    pub(super) fn open(store: StoreArgs, remote: &Remote) -> anyhow::Result<Self> {
        if remote.is_asked_for() || (remote.is_named()? && !store.names_a_directory()) {
            return Ok(Self::Server(remote.client()?));
        }
        let config = store.config()?;
        // A data directory that is not there and that nobody named: likelier the server's lies elsewhere.
        if config.data_dir.source == Source::Default && !config.data_dir.value.exists() {
            let client = remote.client()?;
            if client.answers() {
                printer::talk(&format!(
                    "There is no data directory here; asking the server at {}.",
                    client.address()
                ));
                return Ok(Self::Server(client));
            }
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let dir = config.data_dir.value.clone();
        let Some(lock) = app::try_lock(&dir)? else { return Ok(Self::Server(server_of(&dir)?)) };
        let app = runtime.block_on(app::open_locked(config, lock))?;
        printer::talk(&format!("Using the data directory {}; no server is running on it.", dir.display()));
        Ok(Self::Here(app, runtime))
    }

    /// Creates a principal.
    pub(super) fn principal_create(&self, name: &str, kind: &str, is_admin: bool) -> Result<Json> {
        match self {
            Self::Here(app, runtime) => {
                let request =
                    principals::CreateRequest { name: name.into(), kind: Some(kind.into()), admin: is_admin };
                let made = runtime.block_on(principals::principal_create(&Ctx::system(app), request))?;
                serde_json::to_value(made).map_err(Error::internal)
            }
            Self::Server(client) => {
                let body = json!({ "name": name, "kind": kind, "admin": is_admin });
                client.send(Method::POST, "/api/1.0/principals", &body)
            }
        }
    }

    /// Adds a member to a group.
    pub(super) fn group_member_add(&self, group: &str, member: &str) -> Result<()> {
        match self {
            Self::Here(app, runtime) => {
                let request = principals::MemberRequest { group: group.into(), member: member.into() };
                runtime.block_on(principals::group_member_add(&Ctx::system(app), request))?;
            }
            Self::Server(client) => {
                let path = format!("/api/1.0/groups/{}/members", segment(group));
                client.send::<Json>(Method::POST, &path, &json!({ "member": member }))?;
            }
        }
        Ok(())
    }

    /// Erases some of what was said in the audit log.
    pub(super) fn audit_erase(&self, request: &EraseRequest) -> Result<EraseResponse> {
        match self {
            Self::Here(app, runtime) => {
                runtime.block_on(audit_erase::event_erase(&Ctx::system(app), request.clone()))
            }
            Self::Server(client) => {
                let body = serde_json::to_value(request).map_err(Error::internal)?;
                client.send(Method::POST, audit_erase::PATH, &body)
            }
        }
    }

    /// Creates a token for a principal. `lifetime_s` in seconds; none for one that does not end.
    pub(super) fn token_create(
        &self,
        principal: &str,
        comment: &str,
        lifetime_s: Option<i64>,
    ) -> Result<NewToken> {
        match self {
            Self::Here(app, runtime) => {
                let request = tokens::CreateRequest {
                    principal: Some(principal.into()),
                    comment: Some(comment.into()),
                    lifetime_seconds: lifetime_s.map(Int64),
                };
                let made = runtime.block_on(tokens::token_create(&Ctx::system(app), request))?;
                let info = serde_json::to_value(&made.token_info).map_err(Error::internal)?;
                Ok(NewToken { value: made.token_value, info })
            }
            Self::Server(client) => {
                let body =
                    json!({ "principal": principal, "comment": comment, "lifetime_seconds": lifetime_s });
                let mut made: Json = client.send(Method::POST, "/api/1.0/tokens", &body)?;
                let value = made["token_value"].as_str().unwrap_or_default().to_owned();
                Ok(NewToken { value, info: made["token_info"].take() })
            }
        }
    }
}

/// The server that has a data directory. Its address alone is not enough: the directory may be one that another machine or
/// a container shares, whose loopback is another one. A token goes only to who has the directory's key.
fn server_of(dir: &Path) -> Result<Client> {
    let Ok(address) = std::fs::read_to_string(dir.join(app::ADDRESS_FILE)) else {
        return Err(app::in_use(dir));
    };
    let client = Client::new(address.trim())?;
    let is_its_server = key::read(dir)?.is_some_and(|key| client.has_key(&key));
    if !is_its_server {
        return Err(Error::new(
            Code::InvalidState,
            format!(
                "The data directory {} is in use, and says that its server is at {}. What answers there does not have this \
                 directory's key, so that nothing was asked of it. Name the server with --server or STRONGBACK_URL.",
                dir.display(),
                client.address()
            ),
        ));
    }
    printer::talk(&format!(
        "The data directory {} is that of {}; asking it.",
        dir.display(),
        client.address()
    ));
    Ok(client)
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Here(app, _) = self {
            app.db.close();
        }
    }
}
