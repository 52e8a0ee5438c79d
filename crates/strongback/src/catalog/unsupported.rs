//! Fields of Unity Catalog that mean something this product does not have: refused, rather than dropped silently.
//!
//! A client that asks for isolation and is told 200 believes that it has it. So each field that databricks-sdk can send
//! is kept, or is refused unless it asks for what is so anyway.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use syntax::names::fold_case;

use super::securable::Properties;
use crate::{
    error::{Error, Result},
    router::wire::Int64,
};

/// What can be asked for of catalogs and schemas.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Unsupported {
    /// Refused: there are no managed storage locations.
    pub storage_root: Option<String>,
    /// Refused unless it is `INHERIT`: nothing is optimised here.
    pub enable_predictive_optimization: Option<String>,
    /// Refused: nothing that was dropped can be brought back, for however long.
    pub custom_max_retention_hours: Option<Int64>,
}

impl Unsupported {
    /// Refuses what `what` (a catalog, a schema) cannot have.
    pub fn check(&self, what: &str) -> Result<()> {
        let root = self.storage_root.as_deref();
        refuse_text("storage_root", root, "", &format!("{what} has no storage of its own here."))?;
        let optimization = self.enable_predictive_optimization.as_deref();
        refuse_text("enable_predictive_optimization", optimization, "INHERIT", "nothing is optimised here.")?;
        refuse(
            "custom_max_retention_hours",
            self.custom_max_retention_hours.is_some(),
            "tables lie elsewhere, and their history with them.",
        )
    }
}

/// What can be asked for of catalogs alone.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct UnsupportedOfCatalogs {
    /// Refused unless it is `OPEN`: a catalog is not bound to workspaces.
    pub isolation_mode: Option<String>,
    /// Refused: there are no foreign catalogs.
    pub options: Option<Properties>,
    /// Refused: there are no foreign catalogs.
    pub connection_name: Option<String>,
    /// Refused: there is no sharing.
    pub provider_name: Option<String>,
    /// Refused: there is no sharing.
    pub share_name: Option<String>,
    /// Refused: there are no keys of one's own.
    pub managed_encryption_settings: Option<Map<String, Json>>,
}

impl UnsupportedOfCatalogs {
    /// Refuses what a catalog cannot have.
    pub fn check(&self) -> Result<()> {
        let isolation = self.isolation_mode.as_deref();
        refuse_text("isolation_mode", isolation, "OPEN", "a catalog is not bound to workspaces here.")?;
        let has_options = self.options.as_ref().is_some_and(|options| !options.is_empty());
        refuse("options", has_options, "there are no foreign catalogs.")?;
        refuse_text(
            "connection_name",
            self.connection_name.as_deref(),
            "",
            "there are no foreign catalogs.",
        )?;
        refuse_text("provider_name", self.provider_name.as_deref(), "", "there is no sharing.")?;
        refuse_text("share_name", self.share_name.as_deref(), "", "there is no sharing.")?;
        let has_keys = self.managed_encryption_settings.as_ref().is_some_and(|keys| !keys.is_empty());
        refuse("managed_encryption_settings", has_keys, "there are no encryption keys of one's own.")
    }
}

/// Refuses a text, unless it is empty or says what is so anyway.
pub fn refuse_text(path: &str, value: Option<&str>, as_it_is: &str, why: &str) -> Result<()> {
    let asks = value.is_some_and(|text| !text.is_empty() && fold_case(text) != fold_case(as_it_is));
    refuse(path, asks, why)
}

/// Refuses a field that asks for something.
pub fn refuse(path: &str, asks: bool, why: &str) -> Result<()> {
    match asks {
        true => Err(Error::invalid(format!("'{path}' is not supported: {why} Leave it out."))),
        false => Ok(()),
    }
}
