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
    let sql = |all: &FeatureTable, name: &str| {
        all.expressions.iter().find(|one| one.name == name).map(|one| one.sql.clone())
    };
    for old in &before.expressions {
        match sql(after, &old.name) {
            None => said.push(format!("expression {} goes ({})", old.name, old.sql)),
            Some(new) if new != old.sql => {
                said.push(format!("expression {}: {} becomes {new}", old.name, old.sql));
            }
            Some(_) => {}
        }
    }
    for new in after.expressions.iter().filter(|new| sql(before, &new.name).is_none()) {
        said.push(format!("expression {} comes ({})", new.name, new.sql));
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
    if said.is_empty() && before.expressions != after.expressions {
        said.push("the order of expressions changes".to_owned());
    }
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
    use syntax::features::Expression;

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
        let mut with = before.clone();
        with.expressions.push(Expression { name: "z".into(), sql: "ln(v)".into() });
        assert_eq!(words(&before, &with), ["expression z comes (ln(v))"]);
        let mut other = with.clone();
        other.expressions[0].sql = "ln(v + 1)".into();
        assert_eq!(words(&with, &other), ["expression z: ln(v) becomes ln(v + 1)"]);
        assert_eq!(words(&with, &before), ["expression z goes (ln(v))"]);
        let mut turned = before.clone();
        turned.features.reverse();
        assert_eq!(words(&before, &turned), ["order of features: x, y becomes y, x"]);
    }
}
