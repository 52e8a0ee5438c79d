//! Gates on real servers with real models: what reports say, what they move, and what becomes of them in a crash.

mod checks;
mod closed;
mod declared;
mod full;
mod kill;
pub mod lab;
mod moves;
pub mod onnx;
mod people;
mod reports;
mod sets;
