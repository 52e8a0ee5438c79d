//! A small map kept as a sorted vector: documents are decoded far more often than they are changed.

/// Text keys in strictly ascending byte order, each with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SortedMap<V>(Vec<(String, V)>);

impl<V> Default for SortedMap<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> SortedMap<V> {
    /// An empty map with room for `len` entries.
    pub(super) fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Entries by ascending key.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &V)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&V> {
        self.place(key).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    /// The value of a key, to change it.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.place(key).ok().and_then(|at| self.0.get_mut(at)).map(|(_, value)| value)
    }

    /// Sets the value of a key.
    pub(super) fn insert(&mut self, key: &str, value: V) {
        match self.place(key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key.to_owned(), value)),
        }
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, key: &str) -> Option<V> {
        self.place(key).ok().map(|at| self.0.remove(at).1)
    }

    /// Appends an entry whose key must come after all others; `false` if it does not.
    pub(super) fn push(&mut self, key: &str, value: V) -> bool {
        let ascends = self.0.last().is_none_or(|(last, _)| last.as_str() < key);
        if ascends {
            self.0.push((key.to_owned(), value));
        }
        ascends
    }

    /// Adds entries, ascending among themselves, none of whose keys is here yet; linear in the size of the result.
    pub(super) fn extend_new(&mut self, added: Vec<(String, V)>) {
        if added.is_empty() {
            return;
        }
        self.0.extend(added);
        // The standard stable sort finds the two ascending runs and merges them.
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
    }

    fn place(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(stored, _)| stored.as_str().cmp(key))
    }
}
