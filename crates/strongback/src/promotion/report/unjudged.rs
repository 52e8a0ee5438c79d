//! What stands in the place of a report while there is none: a file that somebody publishes is not to say what an earlier run
//! found.

use super::{
    junit::escaped,
    markdown::{cell, coded},
};

/// Gates that gave no verdict.
#[derive(Debug, Clone, Copy)]
pub struct Unjudged<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// The candidate, as it was named.
    pub candidate: &'a str,
    /// The alias that it was to be judged for.
    pub alias: &'a str,
    /// Why, as a clause.
    pub why: &'a str,
}

impl Unjudged<'_> {
    /// As JUnit's XML: one test case, which is an error.
    pub fn junit(&self) -> String {
        let [model, candidate, alias, why] = [self.model, self.candidate, self.alias, self.why].map(escaped);
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"gates {model} {candidate} for {alias}\" tests=\"1\" \
             failures=\"0\" errors=\"1\" skipped=\"0\">\n  <testcase classname=\"gates\" name=\"verdict\"><error message=\"could \
             not judge: {why}\"/></testcase>\n</testsuite>\n"
        )
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        format!(
            "# Gates of {}: could not judge\n\nVersion {} for `{}`: {}\n",
            cell(self.model),
            cell(self.candidate),
            coded(self.alias),
            cell(self.why)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_verdict_is_an_error() {
        let found =
            Unjudged { model: "a.b.c", candidate: "7", alias: "champion", why: "there is no 'a.b.<c>'" };
        assert_eq!(
            found.junit(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"gates a.b.c 7 for champion\" tests=\"1\" failures=\"0\" \
             errors=\"1\" skipped=\"0\">\n  <testcase classname=\"gates\" name=\"verdict\"><error message=\"could not judge: there \
             is no 'a.b.&lt;c&gt;'\"/></testcase>\n</testsuite>\n"
        );
        assert_eq!(
            found.markdown(),
            "# Gates of a.b.c: could not judge\n\nVersion 7 for `champion`: there is no 'a.b.\\<c\\>'\n"
        );
    }
}
