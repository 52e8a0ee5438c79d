//! Forms of `ASOF JOIN` in text.

use datafusion::arrow::util::pretty::pretty_format_batches;

use super::session;
use crate::asof::{rewrite, sql};

/// The table that a query over small tables prints.
async fn shown(query: &str) -> String {
    let session = session(2, 8192);
    for table in [
        "create table l(k bigint, region text, ts timestamp) as values \
         (1, 'n', timestamp '2026-01-01T10:00:00'), (1, 's', timestamp '2026-01-01T11:30:00'), \
         (2, 'n', timestamp '2026-01-01T12:00:00')",
        "create table r(k bigint, region text, ts timestamp, x double) as values \
         (1, 'n', timestamp '2026-01-01T09:00:00', 0.5), (1, 's', timestamp '2026-01-01T11:00:00', 0.7), \
         (2, 'n', timestamp '2026-01-01T12:00:00', 0.9)",
        "create table g(at timestamp, y bigint) as values \
         (timestamp '2026-01-01T10:30:00', 10), (timestamp '2026-01-01T11:45:00', 11)",
    ] {
        session.sql(table).await.unwrap().collect().await.unwrap();
    }
    let batches = sql(&session, query).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

/// Queries that ask the same in different forms.
async fn check(queries: &[&str], rows: &[&str]) {
    for query in queries {
        let shown = shown(query).await;
        let lines: Vec<&str> = shown.lines().collect();
        let body: Vec<String> = lines[3..lines.len() - 1]
            .iter()
            .map(|line| {
                line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(body, rows, "{query}\n{shown}");
    }
}

#[tokio::test]
async fn one_key() {
    check(
        &[
            "select l.k, x from l asof join r match_condition (l.ts >= r.ts) on l.k = r.k order by l.ts",
            "select l.k, x from l asof join r match_condition (r.ts <= l.ts) on r.k = l.k order by l.ts",
            "select l.k, x from l asof join r match_condition (l.ts >= r.ts) using (k) order by l.ts",
            "select l.k, x from (l asof join r match_condition (l.ts >= r.ts) on l.k = r.k) order by l.ts",
            "select a.k, b.x from l as a asof join r as b match_condition (a.ts >= b.ts) on a.k = b.k order by a.ts",
            "with j as (select l.k, l.ts, x from l asof join r match_condition (l.ts >= r.ts) on l.k = r.k) \
             select k, x from j order by ts",
            "select k, x from (select l.k, l.ts, x from l asof join r match_condition (l.ts >= r.ts) on l.k = r.k) \
             order by ts",
            "select l.k, x from l asof join r match_condition (l.ts >= r.ts) on l.k + 1 = r.k + 1 order by l.ts",
        ],
        &["1 0.5", "1 0.7", "2 0.9"],
    )
    .await;
}

#[tokio::test]
async fn a_strict_bound_and_an_age_limit() {
    check(
        &["select l.k, x is null from l asof join r match_condition (l.ts > r.ts) on l.k = r.k order by l.ts"],
        &["1 false", "1 false", "2 true"],
    )
    .await;
    check(
        &[
            "select l.k, x is null from l asof join r match_condition \
             (l.ts >= r.ts and l.ts - r.ts <= interval '45 minutes') on l.k = r.k order by l.ts",
            "select l.k, x is null from l asof join r match_condition \
             (l.ts >= r.ts and r.ts >= l.ts - interval '45 minutes') on l.k = r.k order by l.ts",
        ],
        &["1 true", "1 false", "2 false"],
    )
    .await;
}

#[tokio::test]
async fn several_keys_and_none() {
    check(
        &["select l.k, x from l asof join r match_condition (l.ts >= r.ts) on l.k = r.k and l.region = r.region \
           order by l.ts"],
        &["1 0.5", "1 0.7", "2 0.9"],
    )
    .await;
    check(
        &[
            "select l.k, y is null, coalesce(y, 0) from l asof join g match_condition (l.ts >= g.at) order by l.ts",
            "select l.k, y is null, coalesce(y, 0) from l asof join g match_condition (l.ts >= g.at) on true \
             order by l.ts",
        ],
        &["1 true 0", "1 false 10", "2 false 11"],
    )
    .await;
}

#[tokio::test]
async fn chains_and_mixtures_of_joins() {
    check(
        &[
            "select l.k, x, coalesce(y, 0) from l asof join r match_condition (l.ts >= r.ts) on l.k = r.k \
             asof join g match_condition (l.ts >= g.at) order by l.ts",
            "select l.k, x, coalesce(y, 0) from l join l m on l.ts = m.ts asof join r match_condition (m.ts >= r.ts) \
             on m.k = r.k asof join g match_condition (l.ts >= g.at) join l n on n.ts = l.ts order by l.ts",
        ],
        &["1 0.5 0", "1 0.7 10", "2 0.9 11"],
    )
    .await;
    check(
        &["select k, x from (select l.k, l.ts, x from l asof join r match_condition (l.ts >= r.ts) on l.k = r.k \
           where l.k = 1 union all \
           select l.k, l.ts, x from l asof join r match_condition (l.ts > r.ts) on l.k = r.k where x is null) \
           order by ts"],
        &["1 0.5", "1 0.7", "2"],
    )
    .await;
}

#[tokio::test]
async fn statements_around_a_query_are_reached() {
    let state = session(1, 8192).state();
    let dialect = state.config_options().sql_parser.dialect;
    let query = "select x from l asof join r match_condition (l.ts >= r.ts)";
    for around in [
        "explain Q",
        "copy (Q) to 'x.parquet'",
        "create table t as Q",
        "create view v as Q",
        "insert into t Q",
    ] {
        let mut statement = state.sql_to_statement(&around.replace('Q', query), &dialect).unwrap();
        rewrite(&mut statement).unwrap();
        let text = statement.to_string();
        assert!(text.contains("FROM (l ASOF JOIN r MATCH_CONDITION (l.ts >= r.ts))"), "{text}");
    }
}
