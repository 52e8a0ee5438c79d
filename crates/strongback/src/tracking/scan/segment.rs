//! One segment's part in a search.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::rc::Rc;

use syntax::search::{Aggregate, Attribute, Predicate, Subject, Test, TextTest};

use crate::tracking::best::Best;
use crate::tracking::columns::{Bitmap, Column, Kind, Zone, attribute};

use super::aggregate::{Parts, kind_apart};
use super::filter::{
    Filter, TEXTS_AT_ONCE, artifact_root_of, artifact_uri, run_uuid, run_uuid_text, select, stage,
};
use super::order::{By, Candidate, Clause, Key, Order, RANK_MISSING, RANK_NAN, column_of};
use super::{ColumnSource, Segment, View};

/// A segment with the columns that were read of it.
pub(super) struct Scan<'s, S> {
    source: &'s S,
    segment: &'s Segment,
    columns: Vec<(Kind, String, Option<Rc<Column>>)>,
    aggregates: Vec<(Aggregate, Option<Rc<Column>>)>,
}

/// One clause of the order over this segment's rows.
enum Ranker<'c> {
    Column(&'c Clause, Rc<Column>),
    /// Every row has this key.
    Same(&'c Clause, Key),
}

impl<'s, S: ColumnSource> Scan<'s, S> {
    pub(super) fn new(source: &'s S, segment: &'s Segment) -> Self {
        Self { source, segment, columns: Vec::new(), aggregates: Vec::new() }
    }

    /// Adds the segment's best rows to `best`.
    pub(super) fn run(
        &mut self,
        filter: &Filter,
        order: &Order,
        hidden: &[i64],
        after: Option<&Candidate>,
        best: &mut Best<Candidate>,
    ) -> Result<(), S::Error> {
        let Some(first) = self.first_ranker(order, after, best.worst())? else { return Ok(()) };
        let Some(selected) = self.select(filter, hidden)? else { return Ok(()) };
        let rankers = self.rankers(order, first)?;
        let Some(uuids) = self.column(Kind::Attribute, attribute::RUN_ID)? else { return Ok(()) };
        let uuid =
            |row: usize| uuids.slot(row).and_then(|slot| uuids.uuid_at(slot)).copied().unwrap_or_default();

        // Ranks are columns over the selected rows; places are their indices.
        let rows: Vec<u16> = selected.iter().map(|row| row as u16).collect();
        let ranks: Vec<Vec<u64>> = rankers.iter().map(|ranker| ranker.ranks(&rows)).collect();
        let compare_ids =
            |a: usize, b: usize| order.compare_ids(&uuid(usize::from(rows[a])), &uuid(usize::from(rows[b])));
        let mut places: Vec<usize> = (0..rows.len()).collect();
        for (bound, wanted) in [(after, Ordering::Greater), (best.worst(), Ordering::Less)] {
            let Some(bound) = bound else { continue };
            let bounds: Vec<u64> =
                rankers.iter().zip(&bound.keys).map(|(ranker, key)| ranker.rank_of(key)).collect();
            places.retain(|at| {
                let by_rank = ranks.iter().zip(&bounds).map(|(ranks, bound)| ranks[*at].cmp(bound));
                first_difference(by_rank, || order.compare_ids(&uuid(usize::from(rows[*at])), &bound.uuid))
                    == wanted
            });
        }
        if places.len() > best.limit() {
            places.select_nth_unstable_by(best.limit() - 1, |a, b| {
                let by_rank = ranks.iter().map(|ranks| ranks[*a].cmp(&ranks[*b]));
                first_difference(by_rank, || compare_ids(*a, *b))
            });
            places.truncate(best.limit());
        }
        self.push(&rows, &places, &rankers, uuid, best)?;
        best.settle(|a, b| order.compare(a, b));
        Ok(())
    }

    /// Rows that pass the filter and are not hidden; `None` if there are none.
    fn select(&mut self, filter: &Filter, hidden: &[i64]) -> Result<Option<Bitmap>, S::Error> {
        let rows = self.segment.runs;
        let mut selected = Bitmap::all(rows);
        let stage = match (filter.view, self.source.is_deleted(self.segment.experiment)) {
            (View::Active, true) => return Ok(None),
            (View::All, _) | (View::Deleted, true) => None,
            (View::Active, false) => Some(attribute::ACTIVE),
            (View::Deleted, false) => Some(attribute::DELETED),
        };
        if let Some(stage) = stage {
            let column = self.column(Kind::Attribute, attribute::LIFECYCLE_STAGE)?;
            let test = Test::Text(TextTest::OneOf([stage.to_owned()].into()));
            selected.and(&select(&test, column.as_deref(), rows, || self.source.keep_going())?);
        }
        self.narrow(filter.predicate(), &mut selected)?;
        self.hide(hidden, &mut selected)?;
        Ok(if selected.is_empty() { None } else { Some(selected) })
    }

    /// Takes away the rows for which something does not hold. What is decided already is looked at no more.
    fn narrow(&mut self, predicate: &Predicate, selected: &mut Bitmap) -> Result<(), S::Error> {
        if selected.is_empty() {
            return Ok(());
        }
        match predicate {
            Predicate::All(parts) => parts.iter().try_for_each(|part| self.narrow(part, selected)),
            Predicate::Any(parts) => {
                let mut open = selected.clone();
                for part in parts {
                    let mut passes = open.clone();
                    self.narrow(part, &mut passes)?;
                    open.and_not(&passes);
                }
                selected.and_not(&open);
                Ok(())
            }
            Predicate::Not(part) => {
                let mut passes = selected.clone();
                self.narrow(part, &mut passes)?;
                selected.and_not(&passes);
                Ok(())
            }
            Predicate::Test(subject, test) => self.test(subject, test, selected),
        }
    }

    fn test(&mut self, subject: &Subject, test: &Test, selected: &mut Bitmap) -> Result<(), S::Error> {
        if matches!(subject, Subject::Attribute(Attribute::RunId | Attribute::ArtifactUri)) {
            return self.select_by_id(subject, test, selected);
        }
        if let Some(same) = self.same_text(subject) {
            if !matches!(test, Test::Text(test) if test.holds(&same)) {
                *selected = Bitmap::none(self.segment.runs);
            }
            return Ok(());
        }
        let rows = self.segment.runs;
        let column = match (subject, column_of(subject)) {
            (Subject::Aggregate(aggregate), _) => self.aggregate(aggregate)?,
            (_, Some((kind, key))) => self.column(kind, key)?,
            (_, None) => {
                *selected = Bitmap::none(rows);
                return Ok(());
            }
        };
        selected.and(&select(test, column.as_deref(), rows, || self.source.keep_going())?);
        Ok(())
    }

    /// What every row has of the experiment. A deleted one deletes its runs, whatever the column says.
    fn same_text(&self, subject: &Subject) -> Option<String> {
        let experiment = self.segment.experiment;
        match subject {
            Subject::Attribute(Attribute::ExperimentId) => {
                Some(self.source.home(experiment).mlflow_id.to_string())
            }
            Subject::Attribute(Attribute::LifecycleStage) if self.source.is_deleted(experiment) => {
                Some(stage(true).to_owned())
            }
            _ => None,
        }
    }

    /// Run ids and artifact URIs are not stored as text: rows still selected are written out one by one.
    fn select_by_id(
        &mut self,
        subject: &Subject,
        test: &Test,
        selected: &mut Bitmap,
    ) -> Result<(), S::Error> {
        let root = match subject {
            Subject::Attribute(Attribute::ArtifactUri) => {
                Some(self.source.home(self.segment.experiment).artifact_root)
            }
            _ => None,
        };
        let uuids = self.column(Kind::Attribute, attribute::RUN_ID)?;
        let text = |uuid: &[u8; 16]| match root {
            Some(root) => artifact_uri(root, uuid),
            None => run_uuid_text(uuid),
        };
        // The usual question, for certain run ids, is answered on their bytes.
        let wanted = match test {
            Test::Text(TextTest::OneOf(list)) if root.is_none() => {
                Some(list.iter().filter_map(|text| run_uuid(text)).collect::<HashSet<[u8; 16]>>())
            }
            _ => None,
        };
        let uuid = |row: usize| uuids.as_deref().and_then(|uuids| uuids.uuid_at(uuids.slot(row)?));
        let rows: Vec<usize> = selected.iter().collect();
        for (place, row) in rows.into_iter().enumerate() {
            if place % TEXTS_AT_ONCE == 0 {
                self.source.keep_going()?;
            }
            let passes = match (test, &wanted) {
                (_, Some(wanted)) => uuid(row).is_some_and(|uuid| wanted.contains(uuid)),
                (Test::Text(test), _) => uuid(row).is_some_and(|uuid| test.holds(&text(uuid))),
                _ => false,
            };
            if !passes {
                selected.remove(row);
            }
        }
        Ok(())
    }

    fn hide(&mut self, hidden: &[i64], selected: &mut Bitmap) -> Result<(), S::Error> {
        let from = hidden.partition_point(|id| *id < self.segment.first_run);
        let to = hidden.partition_point(|id| *id <= self.segment.last_run);
        let Some(hidden) = hidden.get(from..to).filter(|hidden| !hidden.is_empty()) else { return Ok(()) };
        let Some(ids) = self.column(Kind::Rows, "")? else { return Ok(()) };
        for (row, slot) in ids.cells() {
            if ids.int_at(slot).is_some_and(|id| hidden.binary_search(&id).is_ok()) {
                selected.remove(row);
            }
        }
        Ok(())
    }

    /// The first clause's ranker, unless its bounds tell that no row can be on the page.
    fn first_ranker<'c>(
        &mut self,
        order: &'c Order,
        after: Option<&Candidate>,
        worst: Option<&Candidate>,
    ) -> Result<Option<Vec<Ranker<'c>>>, S::Error> {
        let Some(clause) = order.clauses.first() else { return Ok(Some(Vec::new())) };
        let ranker = self.ranker(clause)?;
        let Some((low, high)) = ranker.bounds(self.segment.runs) else { return Ok(Some(vec![ranker])) };
        let rank = |bound: Option<&Candidate>| {
            bound.and_then(|bound| bound.keys.first()).map(|key| ranker.rank_of(key))
        };
        let too_late = rank(worst).is_some_and(|worst| low > worst);
        let too_early = rank(after).is_some_and(|after| high < after);
        Ok(if too_late || too_early { None } else { Some(vec![ranker]) })
    }

    fn rankers<'c>(
        &mut self,
        order: &'c Order,
        mut first: Vec<Ranker<'c>>,
    ) -> Result<Vec<Ranker<'c>>, S::Error> {
        for clause in order.clauses.iter().skip(first.len()) {
            first.push(self.ranker(clause)?);
        }
        Ok(first)
    }

    fn ranker<'c>(&mut self, clause: &'c Clause) -> Result<Ranker<'c>, S::Error> {
        Ok(match &clause.by {
            By::ArtifactRoot => {
                let root = self.source.home(self.segment.experiment).artifact_root;
                Ranker::Same(clause, Key::Text(artifact_root_of(root)))
            }
            By::Experiment => {
                Ranker::Same(clause, Key::int(self.source.home(self.segment.experiment).mlflow_id))
            }
            By::Stage if self.source.is_deleted(self.segment.experiment) => {
                Ranker::Same(clause, Key::Text(stage(true).to_owned()))
            }
            By::Stage => Ranker::over(clause, self.column(Kind::Attribute, attribute::LIFECYCLE_STAGE)?),
            By::Nothing => Ranker::Same(clause, Key::Missing),
            By::Column(kind, key) => Ranker::over(clause, self.column(*kind, key)?),
            By::Aggregate(aggregate) => Ranker::over(clause, self.aggregate(aggregate)?),
        })
    }

    fn push(
        &mut self,
        rows: &[u16],
        places: &[usize],
        rankers: &[Ranker<'_>],
        uuid: impl Fn(usize) -> [u8; 16],
        best: &mut Best<Candidate>,
    ) -> Result<(), S::Error> {
        if places.is_empty() {
            return Ok(());
        }
        let Some(ids) = self.column(Kind::Rows, "")? else { return Ok(()) };
        for place in places {
            let row = usize::from(rows[*place]);
            let Some(run_id) = ids.slot(row).and_then(|slot| ids.int_at(slot)) else { continue };
            let keys = rankers.iter().map(|ranker| ranker.key(row)).collect();
            best.push(Candidate { run_id, uuid: uuid(row), keys });
        }
        Ok(())
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Option<Rc<Column>>, S::Error> {
        if let Some((_, column)) = self.aggregates.iter().find(|(known, _)| known == aggregate) {
            return Ok(column.clone());
        }
        let (key, function) = (aggregate.key(), aggregate.function());
        let latest = self.column(Kind::Metric, key)?;
        let parts = Parts {
            literal: aggregate.literal().map(|key| self.column(Kind::Metric, key)).transpose()?.flatten(),
            apart: match kind_apart(function) {
                Some(kind) if latest.is_some() => self.column(kind, key)?,
                _ => None,
            },
            latest,
        };
        let column = parts.column(function, self.segment.runs)?;
        self.aggregates.push((aggregate.clone(), column.clone()));
        Ok(column)
    }

    fn column(&mut self, kind: Kind, key: &str) -> Result<Option<Rc<Column>>, S::Error> {
        if let Some((_, _, column)) = self.columns.iter().find(|(k, name, _)| *k == kind && name == key) {
            return Ok(column.clone());
        }
        self.source.keep_going()?;
        let bytes = self.source.column(self.segment, kind, key)?;
        let column = bytes.map(|bytes| Column::open(bytes.as_ref())).transpose()?.map(Rc::new);
        self.columns.push((kind, key.to_owned(), column.clone()));
        Ok(column)
    }
}

/// Texts rank by their code, odd numbers; what lies between two entries ranks as the even number between.
const TEXT_RANK_LAST: u64 = 1 << 40;

/// The rank of every row where all have the same key.
const RANK_SAME: u64 = 1;

impl<'c> Ranker<'c> {
    fn over(clause: &'c Clause, column: Option<Rc<Column>>) -> Self {
        match column {
            Some(column) => Self::Column(clause, column),
            None => Self::Same(clause, Key::Missing),
        }
    }

    /// Ranks of these rows: smaller comes first.
    fn ranks(&self, rows: &[u16]) -> Vec<u64> {
        let (clause, column) = match self {
            Self::Same(..) => return vec![RANK_SAME; rows.len()],
            Self::Column(clause, column) => (clause, column),
        };
        let slot = |row: &u16| column.slot(usize::from(*row));
        let number = |key: Option<Key>| key.and_then(|key| clause.rank(&key)).unwrap_or(RANK_MISSING);
        if column.floats().is_some() {
            let key = |row| slot(row).and_then(|slot| column.float_at(slot)).map(Key::float);
            rows.iter().map(|row| number(key(row))).collect()
        } else if let Some(texts) = column.texts() {
            let rank = |row| slot(row).map(|slot| text_rank(clause, 2 * texts.code_at(slot) as u64 + 1));
            rows.iter().map(|row| rank(row).unwrap_or(RANK_MISSING)).collect()
        } else {
            let key = |row| slot(row).and_then(|slot| column.int_at(slot)).map(Key::int);
            rows.iter().map(|row| number(key(row))).collect()
        }
    }

    /// The rank that a key has or would have among this segment's.
    fn rank_of(&self, key: &Key) -> u64 {
        match self {
            Self::Same(clause, own) => match clause.compare(own, key) {
                Ordering::Less => RANK_SAME + 1,
                Ordering::Equal => RANK_SAME,
                Ordering::Greater => RANK_SAME - 1,
            },
            Self::Column(clause, column) => match (key, column.texts()) {
                (Key::Text(text), Some(texts)) => text_rank(
                    clause,
                    match texts.find(text) {
                        Ok(code) => 2 * code as u64 + 1,
                        Err(code) => 2 * code as u64,
                    },
                ),
                (key, _) => clause.rank(key).unwrap_or(RANK_MISSING),
            },
        }
    }

    /// Smallest and largest rank that a row can have, if the column says.
    fn bounds(&self, rows: usize) -> Option<(u64, u64)> {
        let Self::Column(clause, column) = self else { return None };
        let (a, b, has_nan) = match column.bounds() {
            Zone::Ints { min, max } => (Key::int(min), Key::int(max), false),
            Zone::Floats { min, max, has_nan } => (Key::float(min), Key::float(max), has_nan),
            Zone::Unknown => return None,
        };
        let (a, b) = (clause.rank(&a)?, clause.rank(&b)?);
        let high = if !column.is_total(rows) {
            RANK_MISSING
        } else if has_nan {
            RANK_NAN
        } else {
            a.max(b)
        };
        Some((a.min(b), high))
    }

    fn key(&self, row: usize) -> Key {
        let column = match self {
            Self::Same(_, key) => return key.clone(),
            Self::Column(_, column) => column,
        };
        let Some(slot) = column.slot(row) else { return Key::Missing };
        if let Some(texts) = column.texts() {
            return Key::Text(texts.entry(texts.code_at(slot)).to_owned());
        }
        let float = column.float_at(slot).map(Key::float);
        float.or_else(|| column.int_at(slot).map(Key::int)).unwrap_or(Key::Missing)
    }
}

fn text_rank(clause: &Clause, ascending: u64) -> u64 {
    if clause.ascending { ascending } else { TEXT_RANK_LAST - ascending }
}

fn first_difference(mut parts: impl Iterator<Item = Ordering>, last: impl FnOnce() -> Ordering) -> Ordering {
    parts.find(|ordering| ordering.is_ne()).unwrap_or_else(last)
}
