//! Making a training set again, and comparing.

use std::sync::Arc;

use datafusion::arrow::{array::RecordBatch, util::display::array_value_to_string};
use serde::{Deserialize, Serialize};

use super::{
    At, Recipe,
    build::{Rows, of_set, stored},
    canon::{Canon, Cells},
    plan,
};
use crate::{
    engine::{Lake, Task},
    error::{Error, Result},
};

/// What came of making a training set again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Rows that came out.
    pub rows: u64,
    /// Their digest.
    pub digest: String,
    /// Digest of the rows that are kept.
    pub kept_digest: String,
    /// The first place where those two differ.
    pub difference: Option<Difference>,
}

/// Where two sequences of rows differ first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Difference {
    /// The row, counted from 1; one beyond the last where one sequence is shorter.
    pub row: u64,
    /// The column; absent where one sequence has no such row, or the columns differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What is kept.
    pub kept: String,
    /// What came out.
    pub made: String,
}

impl Lake {
    /// Makes the rows of a recipe once more and compares them with those that are kept.
    pub fn judge_training_set(&self, set: At, recipe: Recipe) -> Task<Judged> {
        let lake = self.clone();
        self.run(async move { run(&lake, set, &recipe).await })
    }
}

async fn run(lake: &Lake, set: At, recipe: &Recipe) -> Result<Judged> {
    let _turn = lake.query_turn().await?;
    let session = lake.session()?;
    let made = plan::of_recipe(lake, &session, recipe).await?;
    let kept = of_set(lake, &session, set, recipe.timestamp.as_deref()).await?;
    let (made_columns, kept_columns) = (stored(&made), stored(&kept));
    let (mut made_canon, mut kept_canon) = (Canon::new(&made_columns), Canon::new(&kept_columns));
    let mut made = Side::new(Rows::run(&session, &made, Arc::clone(&made_columns)).await?);
    let mut kept = Side::new(Rows::run(&session, &kept, Arc::clone(&kept_columns)).await?);
    let mut difference = (made_columns != kept_columns).then(|| Difference {
        row: 0,
        column: None,
        kept: format!("{} columns", kept_columns.fields().len()),
        made: format!("{} other columns", made_columns.fields().len()),
    });
    let mut row = 0;
    loop {
        let (of_made, of_kept) = (made.left().await?, kept.left().await?);
        let count = match (of_made, of_kept) {
            (0, 0) => break,
            (0, n) | (n, 0) => n,
            (a, b) => a.min(b),
        };
        let (of_made, of_kept) = (made.take(count), kept.take(count));
        of_made.iter().try_for_each(|batch| made_canon.take(batch))?;
        of_kept.iter().try_for_each(|batch| kept_canon.take(batch))?;
        if difference.is_none() {
            difference = first(of_made.as_ref(), of_kept.as_ref(), row)?;
        }
        row += count as u64;
    }
    let (rows, digest) = made_canon.finish();
    let (_, kept_digest) = kept_canon.finish();
    Ok(Judged { rows, digest, kept_digest, difference })
}

/// Rows of one sequence, taken in pieces of any size.
struct Side {
    rows: Rows,
    open: Option<RecordBatch>,
}

impl Side {
    fn new(rows: Rows) -> Self {
        Self { rows, open: None }
    }

    /// How many rows can be taken now; 0 at the end.
    async fn left(&mut self) -> Result<usize> {
        if self.open.is_none() {
            self.open = self.rows.next().await?;
        }
        Ok(self.open.as_ref().map_or(0, RecordBatch::num_rows))
    }

    fn take(&mut self, count: usize) -> Option<RecordBatch> {
        let open = self.open.take()?;
        if open.num_rows() > count {
            self.open = Some(open.slice(count, open.num_rows() - count));
        }
        Some(open.slice(0, open.num_rows().min(count)))
    }
}

/// The first difference between as many rows.
fn first(made: Option<&RecordBatch>, kept: Option<&RecordBatch>, before: u64) -> Result<Option<Difference>> {
    let (Some(made), Some(kept)) = (made, kept) else {
        let said = |side: Option<&RecordBatch>| {
            if side.is_some() { "a row".to_owned() } else { "no more rows".to_owned() }
        };
        return Ok(Some(Difference { row: before + 1, column: None, kept: said(kept), made: said(made) }));
    };
    let (of_made, of_kept) = (Cells::new(made)?, Cells::new(kept)?);
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for row in 0..made.num_rows() {
        for (column, field) in made.schema().fields().iter().enumerate() {
            one.clear();
            other.clear();
            of_made.write(column, row, &mut one);
            of_kept.write(column, row, &mut other);
            if one != other {
                let shown = |batch: &RecordBatch| {
                    array_value_to_string(batch.column(column), row).map_err(Error::internal)
                };
                return Ok(Some(Difference {
                    row: before + row as u64 + 1,
                    column: Some(field.name().clone()),
                    kept: shown(kept)?,
                    made: shown(made)?,
                }));
            }
        }
    }
    Ok(None)
}
