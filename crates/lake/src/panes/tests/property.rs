//! Table, increment, request and published rows agree to the last bit.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Row, batch, bits, declared, oracle, plan, read};
use crate::panes::{Entity, Panes, Request, Rows, decode_panes, encode_panes};

const LATENESS: i64 = 25;
const SHOPS: [Option<&str>; 3] = [None, Some("x"), Some("yy")];

fn value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        2 => Just(None),
        8 => any::<f64>().prop_map(Some),
        8 => (-1e3..1e3).prop_map(Some),
        1 => Just(Some(f64::from_bits(0xfff8_0000_0000_0001))),
        1 => Just(Some(f64::INFINITY)),
        1 => Just(Some(f64::NEG_INFINITY)),
        2 => Just(Some(-0.0)),
        1 => Just(Some(0.0)),
    ]
}

/// Rows with how long after their time each arrives. Times are few, so that many share one.
fn rows() -> impl Strategy<Value = Vec<(Row, i64)>> {
    let time = prop_oneof![1 => Just(None), 20 => (-95_i64..95).prop_map(Some)];
    let card = prop_oneof![1 => Just(None), 6 => (0_i64..3).prop_map(Some)];
    let row = (card, 0..SHOPS.len(), time, value(), value(), 0..=LATENESS);
    prop::collection::vec(row, 0..60).prop_map(|rows| {
        // Falling ids: the order of folding is not that of the rows.
        let numbered = (0..).map(|id: i64| -id).zip(rows);
        numbered
            .map(|(id, (card, shop, micros, amount, fee, delay))| {
                (Row { card, shop: SHOPS[shop], micros, id, amount, fee }, delay)
            })
            .collect()
    })
}

/// The rows of each entity, by what encodes it.
fn by_entity(rows: &[Row], read: &Rows, keys: &[&str]) -> BTreeMap<Entity, Vec<usize>> {
    let mut entities: BTreeMap<Entity, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let has_keys =
            keys.iter().all(|key| if *key == "card" { row.card.is_some() } else { row.shop.is_some() });
        if has_keys && row.micros.is_some() {
            entities.entry(read.entity(at)).or_default().push(at);
        }
    }
    entities
}

/// The panes after the rows came in the order of their arrival, in pieces of these sizes.
fn in_pieces(
    rows: &[(Row, i64)],
    keys: &[&str],
    pieces: &[usize],
) -> Result<(Panes, Vec<Published>), TestCaseError> {
    let plan = plan(keys, &format!("{LATENESS}us"));
    let mut panes = Panes::new(plan.clone());
    let mut coming: Vec<&(Row, i64)> = rows.iter().collect();
    coming.sort_by_key(|(row, delay)| row.micros.map(|micros| micros + delay));
    let mut coming: Vec<Row> = coming.into_iter().map(|(row, _)| row.clone()).collect();
    let mut source: Vec<Row> = vec![];
    let mut published: BTreeMap<(Entity, i64), Vec<Option<u64>>> = BTreeMap::new();
    let mut sizes = pieces.iter().copied().chain(std::iter::repeat(usize::MAX));
    while !coming.is_empty() {
        let size = sizes.next().unwrap_or(usize::MAX).min(coming.len());
        let piece: Vec<Row> = coming.drain(..size).collect();
        let arrival = panes.arrive(&read(&plan, &piece), i64::MAX).unwrap();
        prop_assert!(arrival.too_late.is_empty(), "{:?}", arrival);
        source.extend(piece);
        panes.refold(&arrival.touched, &read(&plan, &source)).unwrap();
        for row in panes.publish(&arrival.touched).unwrap() {
            published.insert((row.entity, row.micros), bits(&row.features));
        }
    }
    Ok((
        panes,
        published.into_iter().map(|((entity, micros), features)| (entity, micros, features)).collect(),
    ))
}

type Published = (Entity, i64, Vec<Option<u64>>);

/// What a point-in-time join finds among published rows.
fn found(published: &[Published], entity: &Entity, micros: i64) -> Option<Vec<Option<u64>>> {
    let due = published.iter().filter(|(of, at, _)| of == entity && *at <= micros);
    due.max_by_key(|(_, at, _)| *at).map(|(_, _, features)| features.clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn all_ways_lead_to_the_same_bits(
        rows in rows(),
        pieces in prop::collection::vec(1_usize..15, 0..12),
        keys in prop::sample::select(vec![vec![], vec!["card"], vec!["shop", "card"]]),
        times in prop::collection::vec(-200_i64..300, 1..20),
    ) {
        let plan = plan(&keys, &format!("{LATENESS}us"));
        let (declared, columns) = (declared(&keys, &format!("{LATENESS}us")), plan.columns().len());
        let all: Vec<Row> = rows.iter().map(|(row, _)| row.clone()).collect();
        let whole = read(&plan, &all);
        let table = Panes::of(plan.clone(), &whole).unwrap();
        let (increment, published) = in_pieces(&rows, &keys, &pieces)?;
        let once: Vec<Published> = table
            .publish_all().unwrap()
            .into_iter()
            .map(|row| (row.entity, row.micros, bits(&row.features)))
            .collect();
        prop_assert_eq!(&once, &published);
        let entities = by_entity(&all, &whole, &keys);
        prop_assert_eq!(table.entities().collect::<Vec<_>>(), entities.keys().collect::<Vec<_>>());
        for (entity, members) in &entities {
            let own: Vec<&Row> = members.iter().map(|at| &all[*at]).collect();
            let stored = encode_panes(&increment.of_entity(entity));
            let request = Request::new(&plan, decode_panes(&stored, columns).unwrap());
            for micros in times.iter().copied() {
                let expected = bits(&oracle::features(&declared, &own, micros));
                prop_assert_eq!(bits(&table.features(entity, micros)), expected.clone(), "table at {}", micros);
                prop_assert_eq!(bits(&increment.features(entity, micros)), expected.clone(), "increment at {}", micros);
                prop_assert_eq!(bits(&request.features(micros)), expected.clone(), "request at {}", micros);
                let joined = found(&once, entity, micros).unwrap_or_else(|| bits(&plan.nothing()));
                prop_assert_eq!(joined, expected, "published at {}", micros);
            }
        }
    }

    /// Nothing at or after the moment asked for changes what is seen.
    #[test]
    fn no_window_sees_the_future(rows in rows(), micros in -95_i64..95) {
        let plan = plan(&[], "0us");
        let all: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
        let past: Vec<Row> =
            all.iter().filter(|row| row.micros.is_some_and(|at| at < micros)).cloned().collect();
        let of = |rows: &[Row]| {
            let panes = Panes::of(plan.clone(), &read(&plan, rows)).unwrap();
            let features = panes.entities().next().map(|entity| bits(&panes.features(entity, micros)));
            features.unwrap_or_else(|| bits(&plan.nothing()))
        };
        prop_assert_eq!(of(&all), of(&past));
    }

    #[test]
    fn batches_of_published_rows_have_what_was_published(rows in rows()) {
        let keys = ["shop", "card"];
        let plan = plan(&keys, "0us");
        let all: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
        let panes = Panes::of(plan.clone(), &read(&plan, &all)).unwrap();
        let published = panes.publish_all().unwrap();
        let table = panes.to_batch(&published).unwrap();
        prop_assert_eq!(table.num_rows(), published.len());
        prop_assert_eq!(table.num_columns(), 3 + plan.declared().features.len());
        let known: Vec<_> = batch(&all).schema().fields().iter().map(|field| field.name().clone()).collect();
        prop_assert!(known.contains(table.schema().field(0).name()));
    }
}
