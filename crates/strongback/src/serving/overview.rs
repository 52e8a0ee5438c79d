//! What the page at `/` shows of endpoints: state, version, rate, latency, and the newest requests.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    http::{EndpointInfo, Readiness, infos},
    runtime::RuntimeKind,
    traffic::TrafficInfo,
};
use crate::{context::Ctx, error::Result};

/// Endpoints that are shown.
const SHOWN: usize = 12;

/// The endpoints that the caller may read.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Overview {
    /// Those that cannot answer first, then those that are asked most.
    pub endpoints: Vec<EndpointLine>,
    /// How many are not shown.
    pub more: usize,
}

/// An endpoint in one line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EndpointLine {
    /// The name on flat faces.
    pub name: String,
    /// Where it stands.
    pub state: Readiness,
    /// Why it is not ready, or why the newest configuration is not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Name of the model.
    pub model: String,
    /// The version that answers; that which is to, while none does.
    pub version: i64,
    /// The alias that is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// What runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeKind>,
    /// What it did of late.
    pub traffic: TrafficInfo,
}

impl From<EndpointInfo> for EndpointLine {
    fn from(info: EndpointInfo) -> Self {
        Self {
            name: info.name,
            state: info.state,
            reason: info.reason,
            model: info.config.model,
            version: info.serving.as_ref().map_or(info.config.version, |serving| serving.version),
            alias: info.config.alias,
            runtime: info.serving.map(|serving| serving.runtime),
            traffic: info.traffic,
        }
    }
}

/// Collects it.
pub async fn overview(ctx: &Ctx) -> Result<Overview> {
    let mut endpoints: Vec<EndpointLine> = infos(ctx).await?.into_iter().map(EndpointLine::from).collect();
    endpoints.sort_by_key(|line| (line.state != Readiness::Failed, std::cmp::Reverse(line.traffic.requests)));
    let more = endpoints.len().saturating_sub(SHOWN);
    endpoints.truncate(SHOWN);
    Ok(Overview { endpoints, more })
}
