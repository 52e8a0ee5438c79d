//! What is left of a body once its request has an answer.
//!
//! Most clients send all of a body before they look at the answer. A connection that is closed while they send loses them the
//! answer, and with it why they were refused. So the rest is read and thrown away first, within limits, beyond which the
//! connection is closed after all.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http::{Request, header::EXPECT};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

/// How long, and how much, of a body without a reader is read.
const TIME_MAX: Duration = Duration::from_secs(30);
/// How long the next of it may take: who sends nothing waits for the answer.
const PAUSE_MAX: Duration = Duration::from_millis(500);
const BYTES_MAX: u64 = 1 << 30;

struct State {
    body: Body,
    is_begun: bool,
    /// Its end, or what broke it off, was told.
    is_over: bool,
}

/// A body that somebody else may read to its end.
struct Lent(Arc<Mutex<State>>);

/// The end of a body that was lent to a handler.
pub(super) struct Rest {
    /// None where the request has no body.
    state: Option<Arc<Mutex<State>>>,
    /// The client sends nothing before it is told to.
    waits: bool,
}

impl Rest {
    /// Lends the body of a request to whoever handles it.
    pub(super) fn lend(request: Request<Body>) -> (Request<Body>, Self) {
        let waits = request.headers().contains_key(EXPECT);
        if request.body().is_end_stream() {
            return (request, Self { state: None, waits });
        }
        let (head, body) = request.into_parts();
        let state = Arc::new(Mutex::new(State { body, is_begun: false, is_over: false }));
        let lent = Body::new(Lent(Arc::clone(&state)));
        (Request::from_parts(head, lent), Self { state: Some(state), waits })
    }

    /// The body of a request that nobody handles.
    pub(super) fn of(request: Request<Body>) -> Self {
        Self::lend(request).1
    }

    /// Reads what nobody read.
    pub(super) async fn read(self) {
        let Some(state) = self.state else { return };
        // What goes on reading by itself is to find all of it.
        if Arc::strong_count(&state) > 1 {
            return;
        }
        let is_left = {
            let state = state.lock();
            // What says that it is too long is not begun with.
            let is_read = (state.is_begun || !self.waits) && state.body.size_hint().lower() <= BYTES_MAX;
            is_read && !state.is_over && !state.body.is_end_stream()
        };
        if is_left {
            let _ = tokio::time::timeout(TIME_MAX, throw_away(Lent(state))).await;
        }
    }
}

async fn throw_away(mut lent: Lent) {
    let mut bytes = 0;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(PAUSE_MAX, lent.frame()).await {
        bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
        if bytes > BYTES_MAX {
            return;
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = self.0.lock();
        state.is_begun = true;
        if state.is_over {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut state.body).poll_frame(context);
        state.is_over = matches!(frame, Poll::Ready(None | Some(Err(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.lock();
        state.is_over || state.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().body.size_hint()
    }
}
