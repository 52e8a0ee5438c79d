//! When an estimate decides, and when it does not.

use stats::{
    Confidence,
    proportion::Share,
    verdict::{Basis, Bound, Judgement, Verdict, non_inferior},
};

fn estimate(value: f64, low: f64, high: f64) -> stats::Estimate {
    let any = Share::new("share", 1, 2).unwrap().estimate(Confidence::P95);
    stats::Estimate { value, low, high, ..any }
}

#[test]
fn intervals_decide_only_when_wholly_on_one_side() {
    let check = |low, high, bound, expected| {
        let judged =
            Judgement::new(estimate(f64::midpoint(low, high), low, high), bound, Basis::Interval).unwrap();
        assert_eq!(judged.verdict, expected, "{judged}");
    };
    check(0.81, 0.9, Bound::AtLeast(0.8), Verdict::Pass);
    check(0.8, 0.9, Bound::AtLeast(0.8), Verdict::Pass);
    check(0.7, 0.9, Bound::AtLeast(0.8), Verdict::Undecided);
    check(0.7, 0.79, Bound::AtLeast(0.8), Verdict::Fail);
    check(0.1, 0.2, Bound::AtMost(0.2), Verdict::Pass);
    check(0.1, f64::INFINITY, Bound::AtMost(0.2), Verdict::Undecided);
    check(0.21, 0.3, Bound::AtMost(0.2), Verdict::Fail);
}

#[test]
fn values_always_decide() {
    let of = |value| {
        let judged = Judgement::new(estimate(value, 0.0, 9.0), Bound::AtMost(0.2), Basis::Value).unwrap();
        judged.verdict
    };
    assert_eq!((of(0.2), of(0.21)), (Verdict::Pass, Verdict::Fail));
    assert!(Judgement::new(estimate(0.1, 0.0, 1.0), Bound::AtMost(f64::NAN), Basis::Value).is_err());
}

#[test]
fn a_candidate_may_be_worse_by_the_margin() {
    let check = |low, high, margin, greater_is_better, expected| {
        let delta = estimate(f64::midpoint(low, high), low, high);
        let judged = non_inferior(delta, margin, greater_is_better).unwrap();
        assert_eq!(judged.verdict, expected, "{judged}");
    };
    check(-0.009, 0.02, 0.01, true, Verdict::Pass);
    check(-0.011, 0.02, 0.01, true, Verdict::Undecided);
    check(-0.03, -0.011, 0.01, true, Verdict::Fail);
    // A loss: smaller is better.
    check(-0.03, 0.009, 0.01, false, Verdict::Pass);
    check(0.011, 0.02, 0.01, false, Verdict::Fail);
    // A negative margin asks for an improvement.
    check(0.005, 0.02, -0.01, true, Verdict::Undecided);
    check(0.011, 0.02, -0.01, true, Verdict::Pass);
}

#[test]
fn the_figures_are_in_the_sentence() {
    let delta = Share::new("share", 81, 263).unwrap().estimate(Confidence::P95);
    let judged = Judgement::new(delta, Bound::AtLeast(0.4), Basis::Interval).unwrap();
    let sentence = "fail: 0.3080 [0.2553, 0.3662] at 95 %, n = 263, interval must be at least 0.4";
    assert_eq!(judged.to_string(), sentence);
}
