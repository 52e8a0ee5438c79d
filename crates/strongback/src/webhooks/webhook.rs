//! Webhooks: what they are, making, changing and deleting them.

use serde_json::json;
use url::Url;

use super::{CONSUMER, store, topic::Topic};
use crate::{
    auth::Secret,
    bind,
    catalog::authorize_admin,
    context::Ctx,
    db::{Change, Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind, cursor},
    tracking::limits,
};

/// Longest name, in characters.
const NAME_CHARS: usize = 63;
/// Longest address, in characters.
const URL_CHARS: usize = 2_048;
/// Longest description, in characters.
const DESCRIPTION_CHARS: usize = 1_000;
/// Longest secret, in characters.
const SECRET_CHARS: usize = 4_096;
/// What is kept while a webhook is made.
const KEPT: &str = "webhooks";

/// Who is told.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its row.
    pub id: i64,
    /// The id that leaves the server.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Where it is told.
    pub url: String,
    /// Description; empty if there is none.
    pub description: String,
    /// Of what it is told.
    pub topics: Vec<Topic>,
    /// What signs, sealed; none if nothing does.
    pub secret: Option<Vec<u8>>,
    /// Whether it is told of anything.
    pub is_active: bool,
    /// From when on, milliseconds since the epoch.
    pub since: i64,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
}

/// What a webhook is to be; where one is changed, absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Its name.
    pub name: Option<String>,
    /// Where it is told.
    pub url: Option<String>,
    /// Its description; empty takes it away.
    pub description: Option<String>,
    /// Of what it is told.
    pub topics: Option<Vec<Topic>>,
    /// What signs; empty takes it away.
    pub secret: Option<Secret>,
    /// Whether it is told of anything.
    pub is_active: Option<bool>,
}

impl Wanted {
    /// Refuses what no webhook can be, as MLflow does. Its host is resolved.
    async fn check(&self, ctx: &Ctx) -> Result<()> {
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        if let Some(text) = &self.description {
            limits::text("description", text, DESCRIPTION_CHARS)?;
        }
        if let Some(secret) = &self.secret {
            limits::text("secret", secret.reveal(), SECRET_CHARS)?;
        }
        if let Some(url) = &self.url {
            limits::text("url", url, URL_CHARS)?;
            ctx.app.outbound.admit(url).await.map_err(|why| Error::invalid(format!("Webhook URL {why}")))?;
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<()> {
    let ends_well = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut chars = name.chars();
    if name.len() <= NAME_CHARS
        && name.chars().all(is_allowed)
        && ends_well(chars.next())
        && ends_well(name.chars().next_back())
    {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Webhook name {:?} is invalid. It must start and end with a letter or digit, be at most {NAME_CHARS} characters long, and \
         contain only letters, digits, dots (.), underscores (_), and hyphens (-).",
        limits::cut(name, 100)
    )))
}

pub(super) fn read(row: &Row<'_>) -> Result<Webhook> {
    let topics: Vec<String> = serde_json::from_str(&row.get::<String>(5)?).map_err(Error::internal)?;
    Ok(Webhook {
        id: row.get(0)?,
        uuid: row.get(1)?,
        name: row.get(2)?,
        url: row.get(3)?,
        description: row.get(4)?,
        topics: topics.iter().filter_map(|name| Topic::parse(name)).collect(),
        secret: row.get(6)?,
        is_active: status(&row.get::<String>(7)?),
        since: row.get(8)?,
        created_at: row.get(9)?,
        updated_at: row.get(10)?,
    })
}

fn status(name: &str) -> bool {
    name == status_name(true)
}

/// As clients write it, and as it is stored.
pub fn status_name(is_active: bool) -> &'static str {
    if is_active { "ACTIVE" } else { "DISABLED" }
}

/// The webhook with this id, for an administrator.
pub fn load(sql: &mut Sql<'_>, uuid: &str) -> Result<Webhook> {
    authorize_admin(sql, "see webhooks")?;
    sql.first(&store::WEBHOOK_GET, bind![uuid], read)?.ok_or_else(|| missing(uuid))
}

fn missing(uuid: &str) -> Error {
    Error::missing(format!("Webhook with ID {} not found.", limits::cut(uuid, 100)))
}

/// Webhooks before a row, newest first, for an administrator.
pub fn page(sql: &mut Sql<'_>, before: i64, most: i64) -> Result<Vec<Webhook>> {
    authorize_admin(sql, "see webhooks")?;
    sql.all(&store::WEBHOOK_PAGE, bind![before, most], read)
}

fn lock(tx: &mut Sql<'_>, uuid: &str) -> Result<Webhook> {
    authorize_admin(tx, "change webhooks")?;
    tx.first(&store::WEBHOOK_LOCK, bind![uuid], read)?.ok_or_else(|| missing(uuid))
}

fn topics_json(topics: &[Topic]) -> Result<String> {
    let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
    serde_json::to_string(&names).map_err(Error::internal)
}

/// Topics without repetition, in the order in which they were named.
fn distinct(topics: Vec<Topic>) -> Vec<Topic> {
    let mut found = Vec::new();
    for topic in topics {
        if !found.contains(&topic) {
            found.push(topic);
        }
    }
    found
}

/// Where a webhook is told, without what may be a secret in it: scheme, host and port.
pub fn origin(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "(unreadable)".to_owned(), |url| url.origin().ascii_serialization())
}

/// Makes a webhook, which is told of what happens from now on.
pub async fn webhook_create(ctx: &Ctx, wanted: Wanted) -> Result<Webhook> {
    let name = wanted.name.clone().ok_or_else(|| Error::required("name"))?;
    let url = wanted.url.clone().ok_or_else(|| Error::required("url"))?;
    let topics =
        wanted.topics.clone().filter(|topics| !topics.is_empty()).ok_or_else(|| Error::required("events"))?;
    wanted.check(ctx).await?;
    let uuid = uuid::Uuid::new_v4().to_string();
    let secret = match wanted.secret.as_ref().filter(|secret| !secret.reveal().is_empty()) {
        Some(secret) => Some(ctx.app.sealer.seal(&uuid, secret)?),
        None => None,
    };
    let (topics, is_active) = (distinct(topics), wanted.is_active.unwrap_or(true));
    let description = wanted.description.unwrap_or_default();
    ctx.write(move |tx| {
        authorize_admin(tx, "make webhooks")?;
        tx.first(&store::WEBHOOK_KEEP, bind![KEPT], |_| Ok(()))?;
        if tx.first(&store::WEBHOOK_ANY, bind![], |_| Ok(()))?.is_none() {
            // Nobody was told of anything so far, so nobody has read the stream.
            cursor::skip(tx, CONSUMER)?;
        }
        let (now, by) = (tx.now(), tx.caller().id);
        let names = topics_json(&topics)?;
        tx.execute(
            &store::WEBHOOK_INSERT,
            bind![&uuid, &name, &url, &description, &names, secret.as_ref(), status_name(is_active), now, by],
        )?;
        let made = load(tx, &uuid)?;
        Ok(Change::Made(made.clone(), event(EventKind::WebhookCreate, &made)))
    })
    .await
}

fn event(kind: EventKind, webhook: &Webhook) -> Event {
    let topics: Vec<&str> = webhook.topics.iter().map(|topic| topic.name()).collect();
    Event::new(kind).subject(&*webhook.uuid).detail(json!({
        "name": webhook.name, "origin": origin(&webhook.url), "events": topics, "is_signed": webhook.secret.is_some(),
        "status": status_name(webhook.is_active),
    }))
}

/// Changes a webhook.
pub async fn webhook_update(ctx: &Ctx, uuid: String, wanted: Wanted) -> Result<Webhook> {
    wanted.check(ctx).await?;
    let sealed = match &wanted.secret {
        Some(secret) if secret.reveal().is_empty() => Some(None),
        Some(secret) => Some(Some(ctx.app.sealer.seal(&uuid, secret)?)),
        None => None,
    };
    ctx.write(move |tx| {
        let before = lock(tx, &uuid)?;
        let wanted = wanted.clone();
        let after = Webhook {
            name: wanted.name.unwrap_or_else(|| before.name.clone()),
            url: wanted.url.unwrap_or_else(|| before.url.clone()),
            description: wanted.description.unwrap_or_else(|| before.description.clone()),
            topics: wanted.topics.map_or_else(|| before.topics.clone(), distinct),
            secret: sealed.clone().unwrap_or_else(|| before.secret.clone()),
            is_active: wanted.is_active.unwrap_or(before.is_active),
            ..before.clone()
        };
        let is_changed =
            (&after.name, &after.url, &after.description, &after.topics, &after.secret, after.is_active)
                != (
                    &before.name,
                    &before.url,
                    &before.description,
                    &before.topics,
                    &before.secret,
                    before.is_active,
                );
        if !is_changed {
            return Ok(Change::Nothing(before));
        }
        let now = tx.now();
        // What happened while it was disabled is nothing that it is told later.
        let since = if after.is_active && !before.is_active { now } else { before.since };
        let names = topics_json(&after.topics)?;
        tx.execute(
            &store::WEBHOOK_UPDATE,
            bind![
                after.id,
                &after.name,
                &after.url,
                &after.description,
                &names,
                after.secret.as_ref(),
                status_name(after.is_active),
                since,
                now
            ],
        )?;
        let made = load(tx, &uuid)?;
        Ok(Change::Made(made.clone(), event(EventKind::WebhookUpdate, &made)))
    })
    .await
}

/// Deletes a webhook with the log of its deliveries; what waits is not delivered any more.
pub async fn webhook_delete(ctx: &Ctx, uuid: String) -> Result<()> {
    ctx.write(move |tx| {
        let webhook = lock(tx, &uuid)?;
        tx.execute(&store::DELIVERY_DELETE_ALL, bind![webhook.id])?;
        tx.execute(&store::WEBHOOK_DELETE, bind![webhook.id])?;
        Ok(Change::Made((), event(EventKind::WebhookDelete, &webhook)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_mlflows() {
        for good in ["a", "my-hook", "A.b_c-9", &"x".repeat(63)] {
            check_name(good).unwrap();
        }
        for bad in ["", " ", "-a", "a-", ".a", "a b", "ü", "a/b", "a\n", &"x".repeat(64)] {
            assert!(check_name(bad).unwrap_err().message().contains("Webhook name"), "{bad:?}");
        }
    }

    #[test]
    fn of_an_address_only_its_origin_is_told() {
        assert_eq!(
            origin("https://hooks.example.com/services/T0/B0/secret?token=x"),
            "https://hooks.example.com"
        );
        assert_eq!(origin("http://10.0.0.1:8080/x"), "http://10.0.0.1:8080");
        assert_eq!(origin("nothing"), "(unreadable)");
    }
}
