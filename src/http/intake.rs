//! A request's body, as it arrives: counted, timed, and thrown away politely when nobody wants it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::{Sleep, sleep, timeout};

use super::gate::{Full, Ticket};

/// What is read of a body that nobody wants. A client sends all of it before it looks for an
/// answer, and one that is cut off may never see the answer; but there are limits to courtesy.
const MOST_THROWN_AWAY: usize = 256 << 20;
const LONGEST_THROWING_AWAY: Duration = Duration::from_secs(10);
const LONGEST_SILENCE: Duration = Duration::from_secs(2);

/// Why a body is not to be had.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum IntakeError {
    /// More bytes than a request may have.
    #[error("The request has more bytes than the {0} that are allowed; scan at 200 to 300 dpi.")]
    TooLarge(usize),
    /// It did not come in time.
    #[error("The request did not arrive in time; send it again.")]
    TooSlow,
    /// The connection failed, or the body is not what its headers say.
    #[error("The request was cut off; send it again.")]
    CutOff,
    /// There is no room for it now.
    #[error("Too many documents are being read; send it again later.")]
    Full(Full),
}

/// A request's body.
pub struct Intake {
    body: BodyDataStream,
    most: usize,
    read: usize,
    deadline: Pin<Box<Sleep>>,
    ticket: Option<Ticket>,
    failure: Option<IntakeError>,
    /// Whether the client asked before it sends (`Expect: 100-continue`).
    waits_for_word: bool,
}

impl Intake {
    /// Of at most so many bytes, within so much time from now.
    pub fn new(body: Body, most: usize, time: Duration, waits_for_word: bool) -> Self {
        Self {
            body: body.into_data_stream(),
            most,
            read: 0,
            deadline: Box::pin(sleep(time)),
            ticket: None,
            failure: None,
            waits_for_word,
        }
    }

    /// From now on every byte takes room on this ticket.
    pub fn count_on(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }

    /// That ticket.
    pub fn ticket(&mut self) -> Option<&mut Ticket> {
        self.ticket.as_mut()
    }

    /// What went wrong while the body was read, which its reader may only know as an end.
    pub fn failure(&self) -> Option<IntakeError> {
        self.failure
    }

    /// The whole body.
    pub async fn whole(&mut self) -> Result<Vec<u8>, IntakeError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    }

    /// Reads what is left and forgets it, so that the client gets to see the answer. One that
    /// waits for our word sends nothing after another answer.
    pub async fn throw_away(&mut self) {
        if self.waits_for_word && self.read == 0 {
            return;
        }
        let rest = async {
            let mut thrown = 0;
            while let Ok(Some(Ok(chunk))) = timeout(LONGEST_SILENCE, self.body.next()).await {
                thrown += chunk.len();
                if thrown > MOST_THROWN_AWAY {
                    break;
                }
            }
        };
        // What does not come in time is cut off.
        let _ = timeout(LONGEST_THROWING_AWAY, rest).await;
    }

    fn admit(&mut self, chunk: &Bytes) -> Result<(), IntakeError> {
        self.read += chunk.len();
        if self.read > self.most {
            return Err(IntakeError::TooLarge(self.most));
        }
        match &mut self.ticket {
            Some(ticket) => ticket.hold(chunk.len()).map_err(IntakeError::Full),
            None => Ok(()),
        }
    }
}

impl Stream for Intake {
    type Item = Result<Bytes, IntakeError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.failure.is_some() {
            return Poll::Ready(None);
        }
        let result = match self.body.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(chunk))) => self.admit(&chunk).map(|()| chunk),
            Poll::Ready(Some(Err(_))) => Err(IntakeError::CutOff),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => match self.deadline.as_mut().poll(context) {
                Poll::Ready(()) => Err(IntakeError::TooSlow),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.failure = result.as_ref().err().copied();
        Poll::Ready(Some(result))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::super::gate::{Gate, Most};
    use super::*;

    fn body(chunks: usize) -> Body {
        let chunks = (0..chunks).map(|_| Ok::<_, std::io::Error>(vec![7; 100]));
        Body::from_stream(stream::iter(chunks))
    }

    fn intake(body: Body, most: usize) -> Intake {
        Intake::new(body, most, Duration::from_millis(50), false)
    }

    #[tokio::test]
    async fn a_body_of_the_allowed_size_is_read_whole() {
        let mut intake = intake(body(3), 300);
        assert_eq!(intake.whole().await, Ok(vec![7; 300]));
        assert_eq!(intake.failure(), None);
    }

    #[tokio::test]
    async fn a_body_with_a_byte_too_many_is_refused_and_stays_so() {
        let mut intake = intake(body(3), 299);
        assert_eq!(intake.whole().await, Err(IntakeError::TooLarge(299)));
        assert_eq!(intake.failure(), Some(IntakeError::TooLarge(299)));
        assert!(intake.next().await.is_none());
    }

    #[tokio::test]
    async fn a_body_that_stops_arriving_is_given_up() {
        let stalled = stream::iter([Ok::<_, std::io::Error>("a")]).chain(stream::pending());
        let mut intake = intake(Body::from_stream(stalled), 300);
        assert_eq!(intake.whole().await, Err(IntakeError::TooSlow));
    }

    #[tokio::test]
    async fn a_body_that_fails_was_cut_off() {
        let broken = stream::iter([Ok("a"), Err(std::io::Error::other("gone"))]);
        let mut intake = intake(Body::from_stream(broken), 300);
        assert_eq!(intake.whole().await, Err(IntakeError::CutOff));
    }

    #[tokio::test]
    async fn a_body_there_is_no_room_for_is_turned_away() {
        let gate = Gate::new(Most { workers: 1, queue: 0, bytes: 1024 });
        let mut intake = intake(body(30), 10_000);
        intake.count_on(gate.enter().expect("room"));
        assert!(matches!(intake.whole().await, Err(IntakeError::Full(_))));
    }

    #[tokio::test]
    async fn what_nobody_wants_is_read_to_its_end() {
        let mut intake = intake(body(3), 100);
        assert!(intake.whole().await.is_err());
        intake.throw_away().await;
        assert!(intake.body.next().await.is_none());
    }
}
