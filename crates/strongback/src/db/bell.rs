//! A bell that rings after a commit, for those of this process who wait for what it wrote.
//!
//! A transaction asks for it ([`Sql::ring`](super::Sql::ring)); it rings once the transaction stands, so that whoever
//! hears it and looks finds what there is to find. What must stay true: it is a hint. Other processes write too, and nobody
//! hears a bell that rang while he was not listening: who waits for something looks now and then in any case.

use std::sync::Arc;

use tokio::sync::watch;

/// The bell of one store's process.
#[derive(Debug, Clone)]
pub struct Bell(Arc<watch::Sender<()>>);

impl Default for Bell {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

impl Bell {
    /// Hears every ring from now on, several at once as one.
    pub fn listen(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }

    pub(super) fn ring(&self) {
        self.0.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_heard_by_all_who_listen_and_once() {
        let bell = Bell::default();
        let (mut one, mut other) = (bell.listen(), bell.clone().listen());
        assert!(!one.has_changed().unwrap());
        bell.ring();
        bell.ring();
        assert!(one.has_changed().unwrap() && other.has_changed().unwrap());
        one.borrow_and_update();
        other.borrow_and_update();
        assert!(!one.has_changed().unwrap() && !other.has_changed().unwrap());
    }
}
