//! Files that clients keep in object stores themselves, below an experiment's own location.
//!
//! What must stay true:
//! - the server reads there with its own credentials, so only below the places that whoever runs it has named, and only what lies below
//!   the root of a run or a logged model, whose id, one that servers make, is in that root: an experiment which somebody makes at
//!   another one's location shows nothing of it (ids that are chosen come by imports alone, which administrators make);
//! - it never writes there, and nothing of it counts as stored: no digest, no version of a model.

use bucket::{Bucket, Root};

use crate::error::{Code, Error, Result};

/// The places that may be read.
#[derive(Debug, Default)]
pub struct Outside(Vec<(Root, Bucket)>);

/// A root below one of them.
#[derive(Debug, Clone)]
pub struct Spot {
    bucket: Bucket,
    key: String,
}

impl Outside {
    /// Opens the places. Nothing is asked of them yet.
    pub fn open<'a>(places: impl IntoIterator<Item = &'a Root>) -> Result<Self> {
        let open = |place: &Root| {
            let bucket = Bucket::open(place.address())
                .map_err(|error| Error::new(Code::InvalidState, error.to_string()).because(error))?;
            Ok((place.clone(), bucket))
        };
        places.into_iter().map(open).collect::<Result<_>>().map(Self)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the root of a run or a logged model is, as clients know it, if it may be read.
    pub fn find(&self, root: &str) -> Option<Spot> {
        self.0.iter().find_map(|(place, bucket)| {
            let key = place.key_of(root).filter(|key| !key.is_empty())?;
            Some(Spot { bucket: bucket.clone(), key })
        })
    }
}

impl Spot {
    /// The bucket, and the key there of a path below this root.
    pub fn at(&self, path: &str) -> (&Bucket, String) {
        let key = if path.is_empty() { self.key.clone() } else { format!("{}/{path}", self.key) };
        (&self.bucket, key)
    }
}
