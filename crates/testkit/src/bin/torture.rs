//! Kill loops by hand.
fn main() {}
