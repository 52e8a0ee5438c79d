//! Reading a JSON body: how much, how fast, and how many at once.
//!
//! What must stay true: `gather` is the one place where such a body comes into memory, whatever kind of route it is for,
//! so that none escapes the limits; whoever sends nothing holds nothing but a connection; nobody takes all the places; and
//! a client on a poor line is served: 8 KiB a second are always enough, and what does not come within five minutes at that
//! rate needs as much as brings it there in time (32 MiB: about 110 KiB a second).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError};
use hyper::body::{Body as _, Frame};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Limits, PathParams, guard};
use crate::{
    context::Ctx,
    error::{Code, Error, Result},
};

/// Bytes that a body has before it needs a place.
const SMALL: usize = 256 << 10;
/// Larger bodies that are in memory at once.
const PLACES: usize = 32;
/// Places of one principal: half of all, so that others find some.
const PLACES_EACH: usize = PLACES / 2;
/// How long a body waits for its place.
const WAIT: Duration = Duration::from_secs(10);
/// How long it takes at most until a body is there, for those who wait for more than that.
pub(super) const TIME_MAX: Duration = Patience::USUAL.total.saturating_add(WAIT);

/// What a request is read from.
pub struct Input {
    /// The body.
    pub body: Bytes,
    /// The query text, without `?`.
    pub query: String,
    /// Values of the path.
    pub params: PathParams,
    /// Of the body, if it is a large one.
    place: Option<Place>,
}

impl Input {
    /// Of parts that are there already.
    pub fn new(body: Bytes, query: String, params: PathParams) -> Self {
        Self { body, query, params, place: None }
    }

    /// The body's place, for whoever keeps what is made of it.
    pub(super) fn take_place(&mut self) -> Option<Place> {
        self.place.take()
    }
}

/// Reads the whole of a request that brings JSON, within its route's limit.
pub async fn read(ctx: &Ctx, params: PathParams, request: Request<Body>) -> Result<Input> {
    let (head, body) = request.into_parts();
    gather(ctx, params, &head, body).await
}

/// Reads the whole of a request whatever it brings, within its route's limit: for who has looked at the content type.
pub async fn read_content(ctx: &Ctx, params: PathParams, request: Request<Body>) -> Result<Input> {
    let (head, body) = request.into_parts();
    gather_content(ctx, params, &head, body).await
}

/// The same, for whoever needs the request's head afterwards.
pub(super) async fn gather(ctx: &Ctx, params: PathParams, head: &Parts, body: Body) -> Result<Input> {
    let input = gather_content(ctx, params, head, body).await?;
    if !guard::is_json(&head.headers) && !input.body.is_empty() {
        return Err(not_json());
    }
    Ok(input)
}

async fn gather_content(ctx: &Ctx, params: PathParams, head: &Parts, body: Body) -> Result<Input> {
    let allowed = head.extensions.get::<Limits>();
    let most = allowed.and_then(|limits| limits.body).or(Limits::SMALL.body).unwrap_or(0);
    refuse_encoded(&head.headers)?;
    let query = head.uri.query().unwrap_or_default().to_owned();
    let (body, place) = ctx.app.bodies.gather(ctx.caller().id, body, most).await?;
    Ok(Input { body, query, params, place })
}

/// A body is taken as it comes: no client of these calls compresses one.
fn refuse_encoded(headers: &HeaderMap) -> Result<()> {
    let is_plain =
        |value: &HeaderValue| value.is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        return Ok(());
    }
    let message = "The body is encoded (Content-Encoding, e.g. gzip), which is not taken here. Send it as it is, without that header.";
    Err(Error::new(Code::BadRequest, message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16()))
}

/// The error for a body that is not said to be JSON.
pub fn not_json() -> Error {
    Error::invalid("Bad Request. Content-Type must be 'application/json' for this endpoint.")
}

/// A large body's right to be in memory.
pub(super) struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// The bodies that are being read.
pub struct Bodies {
    places: Arc<Semaphore>,
    /// What is left to each principal that has or waits for a place.
    shares: Mutex<HashMap<i64, Arc<Semaphore>>>,
    wait: Duration,
    patience: Patience,
}

impl Default for Bodies {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(PLACES));
        Self { places, shares: Mutex::default(), wait: WAIT, patience: Patience::USUAL }
    }
}

impl Bodies {
    /// The bytes of a body. One that grows large waits for a place, and its sender with it.
    async fn gather(&self, principal: i64, mut body: Body, most: usize) -> Result<(Bytes, Option<Place>)> {
        let (mut gathered, mut place) = (BytesMut::new(), None);
        let mut waited = Duration::ZERO;
        while let Some(frame) = self.patience.next(&mut body, gathered.len(), &mut waited, most).await? {
            let Ok(data) = frame.into_data() else { continue };
            let size = gathered.len() + data.len();
            if size > most {
                return Err(too_large(most));
            }
            if place.is_none() && size > SMALL {
                place = Some(self.place(principal).await?);
            }
            // All at once: nothing to gather, nothing to copy.
            if gathered.is_empty() && body.is_end_stream() {
                return Ok((data, place));
            }
            gathered.extend_from_slice(&data);
        }
        Ok((gathered.freeze(), place))
    }

    async fn place(&self, principal: i64) -> Result<Place> {
        let share = {
            let mut shares = self.shares.lock();
            // Of those who have no place and wait for none, nothing is known.
            shares.retain(|_, share| Arc::strong_count(share) > 1);
            Arc::clone(shares.entry(principal).or_insert_with(|| Arc::new(Semaphore::new(PLACES_EACH))))
        };
        let places = async {
            let own = share.acquire_owned().await.map_err(Error::internal)?;
            let all = Arc::clone(&self.places).acquire_owned().await.map_err(Error::internal)?;
            Ok(Place { _own: own, _all: all })
        };
        tokio::time::timeout(self.wait, places).await.unwrap_or_else(|_| {
            Err(Error::unavailable(format!(
                "As many bodies of more than {SMALL} bytes are being read as may be at once: {PLACES}, of which one \
                 caller has at most {PLACES_EACH}. Repeat the request later, or send less at once."
            )))
        })
    }
}

/// How slowly a body may come. Only time in which the server waited for its sender counts.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Without anything.
    silence: Duration,
    /// Before the rate counts.
    grace: Duration,
    /// Bytes a second, on the whole.
    rate: usize,
    /// For all of it.
    total: Duration,
}

impl Patience {
    const USUAL: Self = Self {
        silence: Duration::from_secs(20),
        grace: Duration::from_secs(20),
        rate: 8 << 10,
        total: Duration::from_mins(5),
    };

    /// How long so many bytes may take.
    fn of(&self, bytes: usize) -> Duration {
        let by_rate = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        (self.grace + by_rate).min(self.total)
    }

    /// The next frame, if it comes in time. `waited` is how long the body was waited for before.
    async fn next(
        &self,
        body: &mut Body,
        got: usize,
        waited: &mut Duration,
        most: usize,
    ) -> Result<Option<Frame<Bytes>>> {
        let left = self.of(got).saturating_sub(*waited);
        let asked = Instant::now();
        let next = tokio::time::timeout(left.min(self.silence), body.frame()).await;
        *waited += asked.elapsed();
        let next = next.map_err(|_| self.gave_up(got, *waited))?;
        next.transpose().map_err(|error| {
            if is_too_large(&error) {
                return too_large(most);
            }
            Error::new(Code::BadRequest, "The body broke off before its end. Send the request again.")
                .because(error)
        })
    }

    fn gave_up(&self, got: usize, waited: Duration) -> Error {
        let message = format!(
            "The body came too slowly: {got} bytes in {} s. Something of it must come every {} s, {} bytes a second on the \
             whole, and all of it within {} s. Send the request again.",
            waited.as_secs(),
            self.silence.as_secs(),
            self.rate,
            self.total.as_secs()
        );
        Error::new(Code::BadRequest, message).with_status(408)
    }
}

fn too_large(most: usize) -> Error {
    let message = format!("The body is larger than the limit of {most} bytes. Send less at once.");
    Error::new(Code::BadRequest, message).with_status(413)
}

/// Whether a body was given up for its length by a limit around it.
fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    const MOST: usize = 1 << 20;
    const TICK: Duration = Duration::from_millis(100);

    /// Small, so that a test need not wait long: 10 ticks of grace and of silence, 1,000 bytes a tick, 30 ticks in all.
    fn bodies() -> Bodies {
        let patience = Patience { silence: TICK * 10, grace: TICK * 10, rate: 10_000, total: TICK * 30 };
        Bodies { wait: TICK, patience, ..Bodies::default() }
    }

    /// A body that sends this much after each pause, for ever.
    fn drip(bytes: usize, pause: Duration) -> Body {
        Body::from_stream(stream::repeat(bytes).then(move |bytes| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::convert::Infallible>(vec![b' '; bytes])
        }))
    }

    fn ending(bytes: usize, pause: Duration, times: usize) -> Body {
        Body::from_stream(drip(bytes, pause).into_data_stream().take(times))
    }

    async fn given_up(bodies: &Bodies, body: Body) -> Duration {
        let began = Instant::now();
        let error = bodies.gather(1, body, MOST).await.map(|(body, _)| body.len()).unwrap_err();
        assert_eq!((error.code(), error.status()), (Code::BadRequest, 408), "{error}");
        assert!(error.message().contains("too slowly"), "{error}");
        began.elapsed()
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_or_only_drips_is_given_up() {
        let bodies = bodies();
        let (silent, dripping, endless) = tokio::join!(
            given_up(&bodies, drip(1, Duration::from_hours(1))),
            given_up(&bodies, drip(10, TICK)),
            // Fast enough, and too long in all.
            given_up(&bodies, drip(20_000, TICK)),
        );
        assert!(silent >= TICK * 10 && dripping >= TICK * 10, "{silent:?} {dripping:?}");
        assert!(endless >= TICK * 30 && endless > dripping, "{endless:?} {dripping:?}");
    }

    #[tokio::test]
    async fn a_slow_body_of_an_honest_client_is_read() {
        let bodies = bodies();
        // After a pause, and at a low rate for longer than the grace.
        for (body, size) in [(ending(10, TICK * 3, 1), 10), (ending(6_000, TICK, 12), 72_000)] {
            let (body, place) = bodies.gather(1, body, MOST).await.unwrap();
            assert_eq!((body.len(), place.is_none()), (size, true));
        }
        let usual = Patience::USUAL;
        for (bytes, seconds) in [(0, 20), (1 << 20, 148), (32 << 20, 300)] {
            assert_eq!(usual.of(bytes), Duration::from_secs(seconds), "{bytes}");
        }
    }

    #[tokio::test]
    async fn places_are_for_what_came_and_no_one_takes_all() {
        let bodies = Bodies { wait: TICK, ..Bodies::default() };
        let large = || Body::from(vec![b' '; SMALL + 1]);
        // Whoever has sent little has none, however much is announced.
        let begun = || {
            let first = Ok::<_, std::convert::Infallible>(vec![b' '; SMALL / 2]);
            Body::from_stream(stream::once(std::future::ready(first)).chain(stream::pending()))
        };
        let silent = (0..PLACES * 2).map(|_| bodies.gather(1, begun(), MOST));
        let silent = futures::future::join_all(silent);
        let others = async {
            let mut held = Vec::new();
            for _ in 0..PLACES_EACH {
                held.push(bodies.gather(1, large(), MOST).await.unwrap().1.unwrap());
            }
            let error = bodies.gather(1, large(), MOST).await.map(|_| ()).unwrap_err();
            assert_eq!(error.code(), Code::TemporarilyUnavailable);
            assert!(error.message().contains("at most 16"), "{error}");
            // A small one needs no place, and another caller finds one.
            assert!(bodies.gather(1, Body::from("{}"), MOST).await.unwrap().1.is_none());
            held.push(bodies.gather(2, large(), MOST).await.unwrap().1.unwrap());
            for principal in 3..PLACES_EACH as i64 + 2 {
                held.push(bodies.gather(principal, large(), MOST).await.unwrap().1.unwrap());
            }
            assert!(bodies.gather(99, large(), MOST).await.is_err(), "there are {PLACES}");
            drop(held);
            bodies.gather(1, large(), MOST).await.unwrap();
            assert_eq!(bodies.shares.lock().len(), 1, "who has no place is forgotten");
        };
        tokio::select! {
            _ = silent => panic!("they were given up too early"),
            () = others => {}
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_for_its_size() {
        for body in [Body::from(vec![b' '; MOST + 1]), drip(MOST / 2, Duration::ZERO)] {
            let error = bodies().gather(1, body, MOST).await.map(|_| ()).unwrap_err();
            assert_eq!((error.code(), error.status()), (Code::BadRequest, 413), "{error}");
            assert!(error.message().contains(&MOST.to_string()), "{error}");
        }
        assert_eq!(bodies().gather(1, ending(10, Duration::ZERO, 3), MOST).await.unwrap().0.len(), 30);
    }
}
