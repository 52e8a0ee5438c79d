//! What the benchmarks' programs have in common: loads in a closed and in an open loop, the machine that a figure was taken
//! on, and a model that is run without a server.
//!
//! Invariant: what is said about the machine, and when it is too noisy, is found out here alone; the scripts ask
//! `strongback-bench-machine`.

pub mod bare;
pub mod facts;
pub mod load;
pub mod machine;
pub mod say;

#[cfg(test)]
mod tests {
    /// `log_cost.py` compares with a server that does not log, and there is no switch for that: one line is taken out.
    #[test]
    fn the_line_that_logs_a_request_is_where_it_is_taken_out() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/unlogged.sh");
        assert!(std::process::Command::new(script).arg("--check").status().unwrap().success());
    }
}
