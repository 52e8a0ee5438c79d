//! Errors of a server in the words of a command: a server speaks of parameters, a command has flags.
//!
//! What must stay true: only what names a parameter is put in other words, never a value that somebody gave.

use clap::{ArgMatches, Args, Command};

use crate::error::Error;

/// The flags and places of the command that was called.
pub(super) struct Words(Vec<(String, String)>);

impl Words {
    /// Of the command that these matches are of.
    pub(super) fn of(root: &Command, matches: &ArgMatches) -> Self {
        let (mut command, mut matches) = (root, matches);
        while let Some((name, below)) = matches.subcommand() {
            let Some(found) = command.find_subcommand(name) else { break };
            (command, matches) = (found, below);
        }
        Self::of_command(command)
    }

    /// Of a command that tells its errors by itself.
    pub(super) fn of_args<A: Args>() -> Self {
        Self::of_command(&A::augment_args(Command::new("")))
    }

    fn of_command(command: &Command) -> Self {
        let word = |argument: &clap::Arg| match argument.get_long() {
            Some(long) => (long.replace('-', "_"), format!("--{long}")),
            None => {
                let shown = argument.get_value_names().and_then(|names| names.first());
                let shown =
                    shown.map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string);
                (argument.get_id().to_string(), shown)
            }
        };
        Self(command.get_arguments().map(word).collect())
    }

    /// How the command calls a parameter, also where it takes one at a time of what the server takes as a list.
    fn find(&self, parameter: &str) -> Option<String> {
        let known =
            |name: &str| self.0.iter().find(|(known, _)| known == name).map(|(_, shown)| shown.clone());
        let one_of_several = || known(parameter.strip_suffix('s')?);
        // A value of the command's own parameters.
        let own = || Some(format!("{} {}", known("param")?, parameter.strip_prefix("params.")?));
        known(parameter).or_else(one_of_several).or_else(own)
    }

    /// The same error in words of the command.
    pub(super) fn put(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<Error>() {
            Ok(ours) => {
                let message = self.text(ours.message());
                ours.with_message(message).into()
            }
            Err(other) => other,
        }
    }

    fn text(&self, message: &str) -> String {
        let mut text = message.to_owned();
        for (before, after, keeps) in [
            (" for parameter '", "' supplied", " for "),
            ("required parameter '", "'.", "required "),
            (" with '", "'", " with "),
        ] {
            text = self.between(&text, before, after, keeps);
        }
        // Of what stands in a file, the file is shown and not what it is sent as.
        while let Some(start) = text.find(" (in '") {
            let Some(length) = text[start..].find("')") else { break };
            let name = &text[start + " (in '".len()..start + length];
            let said = self.find(name).map_or_else(String::new, |shown| format!(" (in {shown})"));
            text.replace_range(start..start + length + "')".len(), &said);
        }
        for (name, shown) in self.0.iter().filter(|(_, shown)| shown.starts_with("--")) {
            text = text.replace(&format!("{name}=true"), shown);
        }
        text.replace(" See the API docs for more information about request parameters.", "")
    }

    /// Puts what stands between two texts in other words, where the command has one for it.
    fn between(&self, text: &str, before: &str, after: &str, keeps: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(start) = rest.find(before) {
            let name_at = start + before.len();
            let Some(length) = rest[name_at..].find(after) else { break };
            let end = name_at + length + after.len();
            match self.find(&rest[name_at..name_at + length]) {
                Some(shown) => {
                    out.push_str(&rest[..start]);
                    out.push_str(keeps);
                    out.push_str(&shown);
                    out.push_str(after.strip_prefix('\'').unwrap_or(after).trim_end_matches(" supplied"));
                }
                None => out.push_str(&rest[..end]),
            }
            rest = &rest[end..];
        }
        out + rest
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn words(call: &str) -> Words {
        let root = Cli::command();
        let matches = root.clone().try_get_matches_from(call.split(' ')).unwrap();
        Words::of(&root, &matches)
    }

    #[test]
    fn parameters_become_flags_and_values_stay() {
        let vacuum = words("strongback table vacuum a.b.c");
        let check = |words: &Words, message: &str, expected: &str| assert_eq!(words.text(message), expected);
        check(
            &vacuum,
            "Invalid value 9 for parameter 'keep_from' supplied: it is a version of the table, from 0 to 3.",
            "Invalid value 9 for --keep-from: it is a version of the table, from 0 to 3.",
        );
        check(
            &vacuum,
            "Repeat with keep_pinned=true to go round them, or take the pins away.",
            "Repeat with --keep-pinned to go round them, or take the pins away.",
        );
        // The name of a table is no parameter, whatever it is called.
        check(&vacuum, "The table 'json' does not exist (in 'other').", "The table 'json' does not exist.");
        check(
            &words("strongback owner set prod risk-team"),
            "The name 'x' is that of several things: table, model. Say which one with 'kind'.",
            "The name 'x' is that of several things: table, model. Say which one with --kind.",
        );
        check(
            &words("strongback table import f.csv --name a.b.c"),
            "Invalid value 'x' for parameter 'types' supplied: a type is given as name:type, such as amount:double.",
            "Invalid value 'x' for --type: a type is given as name:type, such as amount:double.",
        );
        check(
            &words("strongback monitor apply m.yaml"),
            "line 3: 'watch' is no name (in 'yaml')\n  watch: x",
            "line 3: 'watch' is no name\n  watch: x",
        );
        check(
            &words("strongback command run a.b.c"),
            "Missing value for required parameter 'params.depth'. See the API docs for more information about request parameters.",
            "Missing value for required --param depth.",
        );
        check(
            &words("strongback command run a.b.c"),
            "Invalid value \"deep\" for parameter 'params.depth' supplied: it is not an integer of 64 bits.",
            "Invalid value \"deep\" for --param depth: it is not an integer of 64 bits.",
        );
        check(
            &words("strongback job show x"),
            "Invalid value 'y' for parameter 'unknown' supplied: no.",
            "Invalid value 'y' for parameter 'unknown' supplied: no.",
        );
    }
}
