//! What a webhook can be told of: MLflow's pairs of an entity and an action, and how clients write them.

use serde_json::{Value as Json, json};

use crate::{
    error::{Error, Result},
    tracking::wire::EnumIn,
};

macro_rules! topics {
    ($($variant:ident = $entity:literal, $action:literal;)+) => {
        /// What happened, in MLflow's words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Topic { $(#[doc = concat!("`", $entity, ".", $action, "`")] $variant,)+ }

        impl Topic {
            /// All of them.
            pub const ALL: &'static [Topic] = &[$(Topic::$variant,)+];

            /// Its entity, as it is written in what is delivered.
            pub fn entity(self) -> &'static str {
                match self { $(Topic::$variant => $entity,)+ }
            }

            /// Its action, likewise.
            pub fn action(self) -> &'static str {
                match self { $(Topic::$variant => $action,)+ }
            }

            /// Both, as it is stored and shown.
            pub fn name(self) -> &'static str {
                match self { $(Topic::$variant => concat!($entity, ".", $action),)+ }
            }
        }
    };
}

topics! {
    ModelCreated = "registered_model", "created";
    VersionCreated = "model_version", "created";
    VersionTagSet = "model_version_tag", "set";
    VersionTagDeleted = "model_version_tag", "deleted";
    AliasCreated = "model_version_alias", "created";
    AliasDeleted = "model_version_alias", "deleted";
    PromptCreated = "prompt", "created";
    PromptVersionCreated = "prompt_version", "created";
    PromptTagSet = "prompt_tag", "set";
    PromptTagDeleted = "prompt_tag", "deleted";
    PromptVersionTagSet = "prompt_version_tag", "set";
    PromptVersionTagDeleted = "prompt_version_tag", "deleted";
    PromptAliasCreated = "prompt_alias", "created";
    PromptAliasDeleted = "prompt_alias", "deleted";
}

/// MLflow's entities by their numbers, from 1.
const ENTITIES: &[&str] = &[
    "registered_model",
    "model_version",
    "model_version_tag",
    "model_version_alias",
    "prompt",
    "prompt_version",
    "prompt_tag",
    "prompt_version_tag",
    "prompt_alias",
    GATEWAY,
];
/// MLflow's actions by their numbers, from 1.
const ACTIONS: &[&str] = &["created", "updated", "deleted", "set", "exceeded"];
/// Of MLflow's AI gateway, which is not here.
const GATEWAY: &str = "budget_policy";

impl Topic {
    /// From how it is stored and shown.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|topic| topic.name() == name)
    }

    /// From what a client wrote at `path`: an entity and an action, each by name or number.
    pub fn read(path: &str, entity: Option<&EnumIn>, action: Option<&EnumIn>) -> Result<Self> {
        let entity = known(&format!("{path}.entity"), entity, ENTITIES)?;
        let action = known(&format!("{path}.action"), action, ACTIONS)?;
        let of_entity = || Self::ALL.iter().filter(|topic| topic.entity() == entity);
        if let Some(topic) = of_entity().find(|topic| topic.action() == action) {
            return Ok(*topic);
        }
        if entity == GATEWAY {
            return Err(Error::invalid(format!(
                "'{path}' is '{entity}.{action}', an event of MLflow's AI gateway, which is no part of this server: it would \
                 never happen. Leave it out."
            )));
        }
        let valid: Vec<&str> = of_entity().map(|topic| topic.action()).collect();
        Err(Error::invalid(format!(
            "Invalid action '{action}' for entity '{entity}' in '{path}'. Valid actions are: {valid:?}"
        )))
    }

    /// The entity as clients write it.
    pub fn entity_name(self) -> String {
        self.entity().to_uppercase()
    }

    /// The action as clients write it.
    pub fn action_name(self) -> String {
        self.action().to_uppercase()
    }

    /// What a test delivers in place of something that happened: MLflow's own examples.
    pub fn example(self) -> Json {
        let (tags, model, prompt) =
            (json!({ "example_key": "example_value" }), "example_model", "example_prompt");
        match self {
            Self::ModelCreated => {
                json!({ "name": model, "tags": tags, "description": "An example registered model" })
            }
            Self::VersionCreated => json!({
                "name": model, "version": "1", "source": "models:/123", "run_id": "abcd1234abcd5678", "tags": tags,
                "description": "An example model version",
            }),
            Self::VersionTagSet => {
                json!({ "name": model, "version": "1", "key": "example_key", "value": "example_value" })
            }
            Self::VersionTagDeleted => json!({ "name": model, "version": "1", "key": "example_key" }),
            Self::AliasCreated => json!({ "name": model, "alias": "example_alias", "version": "1" }),
            Self::AliasDeleted => json!({ "name": model, "alias": "example_alias" }),
            Self::PromptCreated => {
                json!({ "name": prompt, "tags": tags, "description": "An example prompt" })
            }
            Self::PromptVersionCreated => json!({
                "name": prompt, "version": "1", "template": "Hello {{name}}!", "tags": tags,
                "description": "An example prompt version",
            }),
            Self::PromptTagSet => json!({ "name": prompt, "key": "example_key", "value": "example_value" }),
            Self::PromptTagDeleted => json!({ "name": prompt, "key": "example_key" }),
            Self::PromptVersionTagSet => {
                json!({ "name": prompt, "version": "1", "key": "example_key", "value": "example_value" })
            }
            Self::PromptVersionTagDeleted => json!({ "name": prompt, "version": "1", "key": "example_key" }),
            Self::PromptAliasCreated => json!({ "name": prompt, "alias": "example_alias", "version": "1" }),
            Self::PromptAliasDeleted => json!({ "name": prompt, "alias": "example_alias" }),
        }
    }
}

/// A word of a list, by name or by its number from 1.
fn known(path: &str, given: Option<&EnumIn>, words: &'static [&'static str]) -> Result<&'static str> {
    let numbered = |n: i64| usize::try_from(n).ok().and_then(|n| words.get(n.checked_sub(1)?)).copied();
    let (found, shown) = match given {
        None => return Err(Error::required(path)),
        Some(EnumIn::Number(n)) => (numbered(*n), n.to_string()),
        Some(EnumIn::Name(name)) => {
            let named = words.iter().copied().find(|word| word.to_uppercase() == *name);
            (
                named.or_else(|| numbered(name.parse().ok()?)),
                crate::tracking::limits::cut(name, 100).to_owned(),
            )
        }
    };
    found.ok_or_else(|| {
        let all: Vec<String> = words.iter().map(|word| word.to_uppercase()).collect();
        Error::invalid(format!(
            "Invalid value {shown:?} for parameter '{path}' supplied: it is one of {}.",
            all.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entity: &str, action: &str) -> Result<Topic> {
        Topic::read("events[0]", Some(&EnumIn::Name(entity.into())), Some(&EnumIn::Name(action.into())))
    }

    #[test]
    fn a_topic_is_read_by_names_and_numbers() {
        for topic in Topic::ALL {
            assert_eq!(read(&topic.entity_name(), &topic.action_name()).unwrap(), *topic);
            assert_eq!(Topic::parse(topic.name()), Some(*topic));
            let at = |words: &[&str], word| words.iter().position(|known| *known == word).unwrap() as i64 + 1;
            let (entity, action) = (at(ENTITIES, topic.entity()), at(ACTIONS, topic.action()));
            let read =
                Topic::read("e", Some(&EnumIn::Number(entity)), Some(&EnumIn::Name(action.to_string())));
            assert_eq!(read.unwrap(), *topic);
        }
    }

    #[test]
    fn what_is_no_topic_is_refused_by_its_field() {
        let check = |entity: &str, action: &str, part: &str| {
            let error = read(entity, action).unwrap_err();
            assert!(error.message().contains(part), "{error}");
        };
        check("REGISTERED_MODEL", "DELETED", "Invalid action 'deleted' for entity 'registered_model'");
        check("MODEL_VERSION_TAG", "CREATED", "[\"set\", \"deleted\"]");
        check("BUDGET_POLICY", "EXCEEDED", "AI gateway");
        check("MODEL", "CREATED", "'events[0].entity'");
        check("PROMPT", "0", "'events[0].action'");
        check("PROMPT", "99999999999999999999", "'events[0].action'");
        assert!(Topic::read("e", None, None).unwrap_err().message().contains("'e.entity'"));
    }
}
