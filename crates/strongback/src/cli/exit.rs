//! Exit codes: what a script learns from a command without reading it. `strongback --help` lists them.
//!
//! What must stay true: `NO` is an answer and never an accident. A log that does not verify ends with 1; one that could
//! not be read ends with 3 or 4.

use std::process::ExitCode;

use crate::error::{Code, Error};

/// The answer is no.
pub(super) const NO: u8 = 1;
const WRONG_CALL: u8 = 2;
const REFUSED: u8 = 3;
const AWAY: u8 = 4;
/// Ctrl-C, as a shell has it of a process that SIGINT ended.
pub(super) const INTERRUPTED: i32 = 130;

/// Done, or the answer is no.
pub(super) fn answer(is_yes: bool) -> ExitCode {
    if is_yes { ExitCode::SUCCESS } else { ExitCode::from(NO) }
}

/// The code of a call that the parser of arguments refused.
pub(super) fn wrong_call() -> ExitCode {
    ExitCode::from(WRONG_CALL)
}

/// Gates could not judge: nothing passed that was not shown to hold.
pub(super) fn unjudged() -> ExitCode {
    ExitCode::from(WRONG_CALL)
}

/// Something was refused that was to follow an answer.
pub(super) fn refused() -> ExitCode {
    ExitCode::from(REFUSED)
}

/// Whether a server or a store does not answer, or is busy.
pub(super) fn is_away(error: &anyhow::Error) -> bool {
    code_of(error) == AWAY
}

/// The code of an error.
pub(super) fn of(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(code_of(error))
}

fn code_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>().map(Error::code) {
        Some(Code::InvalidParameterValue | Code::BadRequest) => WRONG_CALL,
        Some(Code::TemporarilyUnavailable | Code::DeadlineExceeded | Code::RequestLimitExceeded) => AWAY,
        _ => REFUSED,
    }
}
