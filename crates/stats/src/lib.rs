//! Pure statistics.
mod bootstrap;
pub mod classify;
pub mod drift;
mod error;
mod estimate;
pub mod fairness;
pub mod latency;
mod mean;
mod order;
pub mod paired;
pub mod proportion;
pub mod random;
pub mod regress;
pub mod sketch;
pub mod special;
mod values;
pub mod verdict;

pub use bootstrap::Resampling;
pub use error::{Result, StatsError};
pub use estimate::{Confidence, Estimate, Method};
pub use values::Missing;
