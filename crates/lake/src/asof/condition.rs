//! What `ON` and `MATCH_CONDITION` say, taken apart into keys, times and a bound.
//!
//! `MATCH_CONDITION` holds one comparison of a left with a right expression, `l.ts >= r.ts` or `l.ts > r.ts` (or turned
//! round), and may add an age limit: `AND l.ts - r.ts <= INTERVAL '1 hour'` or `AND r.ts >= l.ts - INTERVAL '1 hour'`.

use datafusion::common::{DFSchema, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::{Bound, MaxAge};

/// Which inputs an expression reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Neither,
    Left,
    Right,
    Both,
}

fn side(expr: &Expr, left: &DFSchema, right: &DFSchema) -> Side {
    let columns = expr.column_refs();
    let reads = |schema: &DFSchema| columns.iter().any(|column| schema.has_column(column));
    match (reads(left), reads(right)) {
        (false, false) => Side::Neither,
        (true, false) => Side::Left,
        (false, true) => Side::Right,
        (true, true) => Side::Both,
    }
}

/// The pairs (left, right) of `a = b AND c = d …`; none for `TRUE`.
pub(super) fn equalities(on: &Expr, left: &DFSchema, right: &DFSchema) -> Result<Vec<(Expr, Expr)>> {
    let mut keys = vec![];
    for part in split_conjunction(on) {
        if matches!(part, Expr::Literal(ScalarValue::Boolean(Some(true)), _)) {
            continue;
        }
        let Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) = part else {
            return plan_err!(
                "ON of an ASOF JOIN takes equalities joined by AND, not '{part}'; filter an input in a sub-query"
            );
        };
        match (side(a, left, right), side(b, left, right)) {
            (Side::Left, Side::Right) => keys.push((a.as_ref().clone(), b.as_ref().clone())),
            (Side::Right, Side::Left) => keys.push((b.as_ref().clone(), a.as_ref().clone())),
            _ => {
                return plan_err!(
                    "ON of an ASOF JOIN compares a left with a right column, and '{part}' does not; filter an input in \
                     a sub-query"
                );
            }
        }
    }
    Ok(keys)
}

/// The times (left, right) and the bound.
pub(super) fn moments(condition: &Expr, left: &DFSchema, right: &DFSchema) -> Result<((Expr, Expr), Bound)> {
    let mut time = None;
    let mut ages = vec![];
    for part in split_conjunction(condition) {
        let Some((later, strict, earlier)) = ordered(part) else {
            return plan_err!(
                "MATCH_CONDITION takes comparisons like l.ts >= r.ts AND l.ts - r.ts <= INTERVAL '1 hour', not '{part}'"
            );
        };
        match (side(later, left, right), side(earlier, left, right)) {
            (Side::Left, Side::Right) if time.is_none() => {
                time = Some(((later.clone(), earlier.clone()), strict));
            }
            (Side::Left, Side::Right) => {
                return plan_err!("MATCH_CONDITION compares the times twice: '{part}'; keep one comparison");
            }
            _ => ages.push((part, later, strict, earlier)),
        }
    }
    let Some((time, strict)) = time else {
        return plan_err!(
            "MATCH_CONDITION must say that the left time is not before the right time, like 'l.ts >= r.ts'; it says \
             '{condition}'"
        );
    };
    let mut bound = Bound { strict, max_age: None };
    for (part, later, strict, earlier) in ages {
        let age = age_limit(later, earlier, &time).filter(|_| !strict && bound.max_age.is_none());
        let Some(literal) = age else {
            return plan_err!(
                "MATCH_CONDITION takes one age limit like {} - {} <= INTERVAL '1 hour', and '{part}' is none",
                time.0,
                time.1
            );
        };
        bound.max_age = Some(max_age(literal)?);
    }
    Ok((time, bound))
}

/// A comparison as (later, strictly, earlier).
fn ordered(expr: &Expr) -> Option<(&Expr, bool, &Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else {
        return None;
    };
    match op {
        Operator::GtEq => Some((left, false, right)),
        Operator::Gt => Some((left, true, right)),
        Operator::LtEq => Some((right, false, left)),
        Operator::Lt => Some((right, true, left)),
        _ => None,
    }
}

/// The literal of `literal >= left - right` or of `right >= left - literal`.
fn age_limit<'e>(later: &'e Expr, earlier: &'e Expr, time: &(Expr, Expr)) -> Option<&'e ScalarValue> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) = earlier else {
        return None;
    };
    let literal = if **right == time.1 {
        later
    } else if *later == time.1 {
        right.as_ref()
    } else {
        return None;
    };
    match literal {
        Expr::Literal(value, _) if **left == time.0 => Some(value),
        _ => None,
    }
}

fn max_age(literal: &ScalarValue) -> Result<MaxAge> {
    const DAY_MICROS: i64 = 86_400_000_000;
    let micros = match literal {
        ScalarValue::IntervalMonthDayNano(Some(span)) if span.months == 0 => i64::from(span.days)
            .checked_mul(DAY_MICROS)
            .and_then(|days| days.checked_add(span.nanoseconds / 1_000)),
        ScalarValue::IntervalDayTime(Some(span)) => i64::from(span.days)
            .checked_mul(DAY_MICROS)
            .and_then(|days| days.checked_add(i64::from(span.milliseconds) * 1_000)),
        ScalarValue::Int64(Some(steps)) if *steps >= 0 => return Ok(MaxAge::Steps(*steps)),
        _ => None,
    };
    match micros {
        Some(micros) if micros >= 0 => Ok(MaxAge::Micros(micros)),
        _ => plan_err!(
            "'{literal}' is no age limit; give days and smaller units, like INTERVAL '1 hour', or steps of an integer time"
        ),
    }
}
