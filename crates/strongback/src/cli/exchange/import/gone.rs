//! What an earlier import brought and the source has no more. It stays: who deletes here is a person. But it is named, since the two
//! stores are not the same then.

use super::{super::batch::question, ASK, Import};
use crate::{
    error::Result,
    exchange::{ItemKind, KnownItem, KnownRequest, KnownResponse},
};

impl Import<'_> {
    /// Names the items that are here and not there any more. Only for a source that was read in whole.
    pub(super) fn gone(&mut self) -> Result<()> {
        for kind in ItemKind::ALL {
            let mut after = String::new();
            loop {
                let page = self.known(kind, &after)?;
                let Some(last) = page.last() else { break };
                after.clone_from(&last.id);
                let gone = page.into_iter().filter(|item| !self.mapping.has(kind, &item.id));
                let gone: Vec<String> = gone.map(|item| item.target).collect();
                for part in gone.chunks(ASK) {
                    let here = self.ask(kind, part.to_vec())?.items;
                    if !here.is_empty() {
                        let named = self.report.gone.entry(kind.name()).or_default();
                        named.extend(here.into_iter().map(|item| item.id));
                    }
                }
            }
        }
        Ok(())
    }

    fn known(&self, kind: ItemKind, after: &str) -> Result<Vec<KnownItem>> {
        let request = KnownRequest { source: self.label.to_owned(), kind, after: after.to_owned() };
        let answer: KnownResponse = question(self.client, "/api/1.0/exchange/known", &request)?;
        Ok(answer.items)
    }
}
