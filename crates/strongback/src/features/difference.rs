//! What two definitions differ in, in words.

use syntax::features::{Aggregate, Feature, FeatureTable};

fn aggregate(one: Aggregate) -> &'static str {
    Aggregate::ALL.iter().find(|(known, _)| *known == one).map_or("", |(_, name)| name)
}

fn feature(one: &Feature) -> String {
    let column = one.column.as_ref().map_or_else(|| "rows".to_owned(), Clone::clone);
    format!("{} of {column} over {}", aggregate(one.aggregate), one.window)
}

/// One line a difference, in the order of the file; none where both compute the same. The source is told apart by its id, which
/// a definition does not know: the caller speaks of it.
pub(super) fn words(before: &FeatureTable, after: &FeatureTable) -> Vec<String> {
    let mut said = Vec::new();
    let list = |columns: &[String]| if columns.is_empty() { "none".into() } else { columns.join(", ") };
    for (what, old, new) in [
        ("keys", list(&before.keys), list(&after.keys)),
        ("timestamp", before.timestamp.clone(), after.timestamp.clone()),
        ("row_key", list(&before.row_key), list(&after.row_key)),
        ("pane", before.pane.to_string(), after.pane.to_string()),
        ("lateness", before.lateness.to_string(), after.lateness.to_string()),
    ] {
        if old != new {
            said.push(format!("{what}: {old} becomes {new}"));
        }
    }
    let named = |all: &[Feature], name: &str| all.iter().find(|one| one.name == name).cloned();
    for old in &before.features {
        match named(&after.features, &old.name) {
            None => said.push(format!("feature {} goes ({})", old.name, feature(old))),
            Some(new) if new != *old => {
                said.push(format!("feature {}: {} becomes {}", old.name, feature(old), feature(&new)));
            }
            Some(_) => {}
        }
    }
    for new in after.features.iter().filter(|new| named(&before.features, &new.name).is_none()) {
        said.push(format!("feature {} comes ({})", new.name, feature(new)));
    }
    let order = |all: &FeatureTable| all.features.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    if said.is_empty() && order(before) != order(after) {
        said.push(format!(
            "order of features: {} becomes {}",
            order(before).join(", "),
            order(after).join(", ")
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_said_once() {
        let before = syntax::features::from_yaml(
            "version: 1\nname: a.b.f\nsource: a.b.t\ntimestamp: at\nrow_key: [id]\npane: 1m\nfeatures:\n\
             - {name: x, aggregate: mean, column: v, window: 1h}\n- {name: y, aggregate: count, window: 1h}\n",
        )
        .unwrap();
        assert!(words(&before, &before).is_empty());
        let mut after = before.clone();
        after.keys = vec!["card".into()];
        after.features[0].window = "2h".parse().unwrap();
        after.features[1].name = "z".into();
        assert_eq!(
            words(&before, &after),
            [
                "keys: none becomes card",
                "feature x: mean of v over 1h becomes mean of v over 2h",
                "feature y goes (count of rows over 1h)",
                "feature z comes (count of rows over 1h)",
            ]
        );
        let mut turned = before.clone();
        turned.features.reverse();
        assert_eq!(words(&before, &turned), ["order of features: x, y becomes y, x"]);
    }
}
