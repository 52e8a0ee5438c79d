//! Compares what is listed with what ledgers say, for all kinds of things: pure, so that every kind of damage can be tried
//! on it.

use serde_json::Value;

/// A thing as the server lists it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) token: String,
    pub(super) id: String,
    /// Everything else of it that is compared.
    pub(super) look: Value,
}

/// A thing as a ledger knows it.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    token: &'a str,
    /// `None` while its creation is in flight: it may not be there.
    id: Option<String>,
    /// What it may look like, the acknowledged look first.
    looks: Vec<Value>,
}

impl<'a> Wanted<'a> {
    pub(super) fn acknowledged(token: &'a str, id: impl Into<String>, looks: Vec<Value>) -> Self {
        Self { token, id: Some(id.into()), looks }
    }

    pub(super) fn in_flight(token: &'a str, looks: Vec<Value>) -> Self {
        Self { token, id: None, looks }
    }
}

/// Says what is lost, halved, doubled, or there without having been asked for.
pub(super) fn reconcile<'a>(
    kind: &str,
    mut listed: Vec<Listed>,
    wanted: impl IntoIterator<Item = Wanted<'a>>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for Wanted { token, id, looks } in wanted {
        let found: Vec<Listed> = listed.extract_if(.., |each| each.token == token).collect();
        match found.as_slice() {
            [] if id.is_some() => problems.push(format!("{kind} {token} was acknowledged and is not there")),
            [] => {}
            [only] => {
                if id.as_ref().is_some_and(|id| *id != only.id) {
                    problems.push(format!("{kind} {token} has the id {}, acknowledged {id:?}", only.id));
                }
                let name = format!("{kind} {token}");
                problems.extend(difference(&only.look, &looks).map(|text| format!("{name}: {text}")));
            }
            several => problems.push(format!("{kind} {token} is there {} times", several.len())),
        }
    }
    problems.extend(
        listed
            .iter()
            .map(|each| format!("{kind} {} of token {:?}: nobody asked for it", each.id, each.token)),
    );
    problems
}

/// How a look differs from the acknowledged one, unless it is one of those that may be.
pub(super) fn difference(stored: &Value, looks: &[Value]) -> Option<String> {
    if looks.contains(stored) {
        return None;
    }
    let acknowledged = looks.first()?;
    let fields = stored.as_object()?.iter().filter(|(field, value)| acknowledged[field.as_str()] != **value);
    let texts: Vec<String> = fields
        .map(|(field, value)| format!("{field} is {value}, acknowledged {}", acknowledged[field.as_str()]))
        .collect();
    let in_flight = if looks.len() > 1 { " (another write in flight)" } else { "" };
    Some(format!("{}{in_flight}", texts.join("; ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(token: &str, count: u32) -> Listed {
        Listed { token: token.to_string(), id: format!("id-{token}"), look: json!({"count": count}) }
    }

    fn looks<const N: usize>(counts: [u32; N]) -> Vec<Value> {
        counts.iter().map(|count| json!({"count": count})).collect()
    }

    /// One thing is acknowledged with the count 1, another is being made with the count 0.
    #[track_caller]
    fn check(found: Vec<Listed>, known: Vec<Value>, expect: &[&str]) {
        let wanted = [Wanted::acknowledged("a", "id-a", known), Wanted::in_flight("b", looks([0]))];
        let problems = reconcile("thing", found, wanted);
        assert_eq!(problems.len(), expect.len(), "{problems:?}");
        for (problem, part) in problems.iter().zip(expect) {
            assert!(problem.contains(part), "{problem} lacks {part}");
        }
    }

    #[test]
    fn what_is_whole_and_there_once_is_no_problem() {
        check(vec![listed("a", 1)], looks([1]), &[]);
        check(vec![listed("a", 1), listed("b", 0)], looks([1]), &[]);
        check(vec![listed("a", 1)], looks([1, 2]), &[]);
        check(vec![listed("a", 2)], looks([1, 2]), &[]);
    }

    #[test]
    fn every_damage_is_named() {
        check(vec![], looks([1]), &["a was acknowledged and is not there"]);
        check(vec![listed("a", 0)], looks([1]), &["count is 0, acknowledged 1"]);
        check(vec![listed("a", 0)], looks([1, 2]), &["count is 0, acknowledged 1 (another write in flight)"]);
        check(vec![listed("a", 2)], looks([1]), &["count is 2, acknowledged 1"]);
        check(vec![listed("a", 1), listed("a", 1)], looks([1]), &["a is there 2 times"]);
        check(vec![Listed { id: "id-c".to_string(), ..listed("a", 1) }], looks([1]), &["has the id id-c"]);
        check(vec![listed("a", 1), listed("b", 1)], looks([1]), &["b: count is 1, acknowledged 0"]);
        check(vec![listed("a", 1), listed("b", 0), listed("b", 0)], looks([1]), &["b is there 2 times"]);
        check(vec![listed("a", 1), listed("c", 1)], looks([1]), &["nobody asked for it"]);
    }
}
