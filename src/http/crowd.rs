//! A bound on connections: each costs a descriptor and some memory before it has said anything. One
//! whose client reads nothing of its answer is closed, or a few such clients would have them all.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tower_layer::Layer;

/// Time in which some of an answer must go out.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection that fails when nothing can be written for too long.
pub type Timed = Pin<Box<TimeoutStream<TcpStream>>>;

/// Accepts connections as another acceptor does, but only so many at a time; the rest are closed at
/// once.
#[derive(Clone)]
pub struct Crowd<A> {
    acceptor: A,
    places: Arc<Semaphore>,
}

/// A connection's place, which its service carries: it is free again when the connection is gone.
#[derive(Clone)]
pub struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl<A> Crowd<A> {
    /// At most `most` connections.
    pub fn new(acceptor: A, most: usize) -> Self {
        Self { acceptor, places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))) }
    }
}

impl<A, S> Accept<TcpStream, S> for Crowd<A>
where
    A: Accept<Timed, S> + Clone + Send + 'static,
    A::Stream: Send,
    A::Service: Send,
    A::Future: Send,
    S: Send + 'static,
{
    type Stream = A::Stream;
    type Service = AddExtension<A::Service, Place>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let (acceptor, place) =
            (self.acceptor.clone(), Arc::clone(&self.places).try_acquire_owned());
        Box::pin(async move {
            let permit = place.map_err(|_| io::Error::other("there are too many connections"))?;
            // An answer is one small write or several large ones: none should wait for the next.
            stream.set_nodelay(true)?;
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(PATIENCE));
            let (stream, service) = acceptor.accept(Box::pin(stream), service).await?;
            Ok((stream, Extension(Place { _permit: Arc::new(permit) }).layer(service)))
        })
    }
}

#[cfg(test)]
mod tests {
    use axum_server::accept::DefaultAcceptor;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_too_many_is_refused_until_one_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let crowd = Crowd::new(DefaultAcceptor::new(), 1);
        let connect = async || {
            let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            crowd.accept(accepted.unwrap().0, ()).await
        };
        let first = connect().await.unwrap();
        assert!(connect().await.is_err());
        drop(first);
        assert!(connect().await.is_ok());
    }
}
