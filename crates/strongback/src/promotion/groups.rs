//! The groups of rows: a name is kept once, and a row has its number.

use std::collections::HashMap;

use super::subject::Known;

/// Groups that can be compared; a column with more is an identifier, not a group.
const GROUPS_MAX: usize = 200;

/// A column of groups.
#[derive(Debug, Default)]
pub struct Groups {
    names: Vec<String>,
    numbers: HashMap<String, u8>,
    rows: Vec<Option<u8>>,
}

impl Groups {
    /// Takes the groups of more rows of a column; or says why they are too many.
    pub fn extend(&mut self, column: &str, rows: Vec<Option<String>>) -> Known<()> {
        self.rows.reserve(rows.len());
        for name in rows {
            let number = name.map(|name| self.number(column, name)).transpose()?;
            self.rows.push(number);
        }
        Ok(())
    }

    fn number(&mut self, column: &str, name: String) -> Known<u8> {
        if let Some(number) = self.numbers.get(&name) {
            return Ok(*number);
        }
        let number = self.names.len();
        if number == GROUPS_MAX {
            return Err(format!(
                "the column '{column}' has more than {GROUPS_MAX} groups, which are too many to compare; name a coarser one"
            ));
        }
        self.names.push(name.clone());
        self.numbers.insert(name, number as u8);
        Ok(number as u8)
    }

    /// The group of each row; none where it has none.
    pub fn of_rows(&self) -> impl Iterator<Item = Option<&str>> {
        self.rows.iter().map(|number| number.map(|number| self.names[usize::from(number)].as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_groups_and_too_many_are_refused() {
        let mut groups = Groups::default();
        let named = |names: &[&str]| -> Vec<Option<String>> {
            names.iter().map(|name| Some(*name).filter(|name| !name.is_empty()).map(str::to_owned)).collect()
        };
        groups.extend("country", named(&["de", "", "fr"])).unwrap();
        groups.extend("country", named(&["fr", "de"])).unwrap();
        assert_eq!(
            groups.of_rows().collect::<Vec<_>>(),
            [Some("de"), None, Some("fr"), Some("fr"), Some("de")]
        );
        let numbers = |count: usize| (0..count).map(|number| Some(number.to_string())).collect();
        assert!(Groups::default().extend("id", numbers(GROUPS_MAX)).is_ok());
        let why = Groups::default().extend("id", numbers(GROUPS_MAX + 1)).unwrap_err();
        assert!(why.starts_with("the column 'id' has more than 200 groups"), "{why}");
    }
}
