//! Strongback: an MLOps backbone in one binary.
//!
//! The library is the product; the binary only calls [`cli::main`]. Slices, from the ground up: [`events`],
//! [`catalog`], [`files`], [`jobs`], [`tables`], [`tracking`], [`registry`], [`exchange`], [`webhooks`], [`features`],
//! [`serving`], [`promotion`], [`monitoring`], [`answers`]; a slice imports only slices before it. Beside them stand the few files that cut
//! across: [`config`], [`db`], [`auth`], [`context`], [`error`], [`objects`], [`outbound`], [`packing`], [`router`], [`secrets`], [`time`], [`ui`].

pub mod answers;
pub mod app;
pub mod auth;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod context;
pub mod db;
pub mod error;
pub mod events;
pub mod exchange;
pub mod features;
pub mod files;
pub mod jobs;
pub mod monitoring;
pub mod objects;
pub mod ops;
pub mod outbound;
pub(crate) mod packing;
pub mod promotion;
pub mod registry;
pub mod router;
pub mod secrets;
pub mod serving;
pub mod tables;
pub mod time;
pub mod tracking;
pub mod ui;
pub mod webhooks;

/// Routes of all slices and of the operational endpoints, from the ground up.
fn slice_routes() -> Vec<router::Route> {
    let mut routes = ops::routes();
    routes.extend(catalog::routes());
    routes.extend(jobs::routes());
    routes.extend(tables::routes());
    routes.extend(tracking::routes());
    routes.extend(registry::routes());
    routes.extend(exchange::routes());
    routes.extend(webhooks::routes());
    routes.extend(features::routes());
    routes.extend(promotion::routes());
    routes.extend(monitoring::routes());
    routes.extend(serving::routes());
    routes.extend(answers::routes());
    routes.extend(ui::routes());
    routes
}

/// What does jobs of the server's own kinds, from the ground up. Each slice that has some registers them here.
fn slice_handlers() -> jobs::Handlers {
    let handlers = jobs::Handlers::default();
    promotion::register(&handlers);
    for handler in features::handlers().into_iter().chain(monitoring::handlers()) {
        handlers.register(handler);
    }
    handlers
}
