//! Groups, by hand.

use stats::{
    Confidence, StatsError,
    fairness::{Groups, Metric},
    verdict::{Basis, Verdict},
};

use crate::draw::assert_close;

const LEVEL: Confidence = Confidence::P95;

/// `(group, true positives, false positives, true negatives, false negatives)`.
fn groups(counts: &[(&'static str, usize, usize, usize, usize)]) -> Groups {
    let (mut names, mut actual, mut predicted) = (Vec::new(), Vec::new(), Vec::new());
    for &(name, tp, fp, tn, fn_) in counts {
        for (rows, truth, decision) in
            [(tp, true, true), (fp, false, true), (tn, false, false), (fn_, true, false)]
        {
            for _ in 0..rows {
                names.push(Some(name));
                actual.push(truth);
                predicted.push(decision);
            }
        }
    }
    Groups::new(&names, &actual, &predicted).unwrap()
}

#[test]
fn figures_by_hand() {
    let compared = groups(&[("a", 40, 10, 40, 10), ("b", 20, 5, 55, 20), ("c", 3, 0, 2, 0)]);
    let figures = compared.figures(LEVEL);
    assert_eq!(figures.iter().map(|f| f.group.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(figures.iter().map(|f| f.too_small).collect::<Vec<_>>(), [false, false, true]);
    assert_close(figures[0].selection_rate.unwrap().value, 0.5, 1e-15, "selection rate");
    assert_close(figures[0].true_positive_rate.unwrap().value, 0.8, 1e-15, "true positive rate");
    assert_close(figures[0].false_positive_rate.unwrap().value, 0.2, 1e-15, "false positive rate");
    assert_close(figures[1].precision.unwrap().value, 0.8, 1e-15, "precision");

    let check = |metric: &str, value: f64, lowest: &str, highest: &str| {
        let found = compared.disparity(metric.parse().unwrap(), LEVEL).unwrap();
        assert_close(found.estimate.value, value, 1e-14, metric);
        assert_eq!((found.lowest.as_str(), found.highest.as_str()), (lowest, highest), "{metric}");
        assert_eq!(
            (found.compared.as_slice(), found.too_small.as_slice()),
            (["a", "b"].map(String::from).as_slice(), ["c".to_owned()].as_slice())
        );
        assert!(found.estimate.low < value && found.estimate.high > value, "{metric}: {}", found.estimate);
    };
    check("demographic_parity_difference", 0.25, "b", "a");
    check("demographic_parity_ratio", 0.5, "b", "a");
    check("equal_opportunity_difference", 0.3, "b", "a");
    check("equalized_odds_difference", 0.3, "b", "a");
}

#[test]
fn four_fifths_decides_only_with_enough_rows() {
    let rule = |scale: usize| {
        let compared = groups(&[("a", 40 * scale, 0, 60 * scale, 0), ("b", 26 * scale, 0, 74 * scale, 0)]);
        compared.four_fifths(LEVEL, Basis::Interval).unwrap().verdict
    };
    assert_eq!((rule(1), rule(30)), (Verdict::Undecided, Verdict::Fail));
    let equal = groups(&[("a", 4_000, 0, 6_000, 0), ("b", 3_950, 0, 6_050, 0)]);
    assert_eq!(equal.four_fifths(LEVEL, Basis::Interval).unwrap().verdict, Verdict::Pass);
    let few = groups(&[("a", 40, 0, 60, 0), ("b", 26, 0, 74, 0)]);
    assert_eq!(few.four_fifths(LEVEL, Basis::Value).unwrap().verdict, Verdict::Fail);
}

#[test]
fn small_groups_do_not_decide() {
    let alone = groups(&[("a", 40, 10, 40, 10), ("tiny", 0, 5, 0, 5)]);
    let refused = alone.disparity(Metric::DemographicParityDifference, LEVEL).unwrap_err();
    assert_eq!(refused, StatsError::TooFew { what: "groups with enough rows", found: 1, needed: 2 });
    let asked = alone.with_rows_min(10);
    assert!(asked.disparity(Metric::DemographicParityDifference, LEVEL).is_ok());
    // Enough rows, but too few of them positive for this figure.
    let seldom = groups(&[("a", 40, 10, 40, 10), ("b", 2, 10, 80, 3)]);
    assert!(seldom.disparity(Metric::EqualOpportunityDifference, LEVEL).is_err());
    // Enough for one rate of equalized odds and not for the other: named.
    let three = groups(&[("a", 40, 10, 40, 10), ("b", 30, 10, 40, 10), ("c", 2, 10, 80, 3)]);
    let odds = three.disparity(Metric::EqualizedOddsDifference, LEVEL).unwrap();
    assert_eq!(odds.too_small, ["c"]);
}

#[test]
fn nobody_selected_has_no_ratio() {
    let nobody = groups(&[("a", 0, 0, 50, 0), ("b", 0, 0, 50, 0)]);
    assert!(nobody.disparity(Metric::DemographicParityRatio, LEVEL).is_err());
    let one = groups(&[("a", 10, 0, 40, 0), ("b", 0, 0, 50, 0)]);
    let ratio = one.disparity(Metric::DemographicParityRatio, LEVEL).unwrap().estimate;
    assert!(ratio.value == 0.0 && ratio.low == 0.0 && ratio.high > 0.1, "{ratio}");
}

#[test]
fn an_identifier_is_no_group() {
    let names: Vec<String> = (0..300).map(|row| format!("customer {row}")).collect();
    let names: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
    let refused = Groups::new(&names, &[true; 300], &[true; 300]).unwrap_err();
    assert!(refused.to_string().contains("at most 200 are taken"), "{refused}");
}
