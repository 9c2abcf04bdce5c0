//! Messages of PostgreSQL's protocol 3.0 over a socket, with a deadline for every byte and a bound for every message.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol", sections "Message Formats" and "Overview".

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::address::{Address, Host};
use crate::db::QueryError;
use crate::error::Problem;

/// A socket with timeouts.
trait Socket: Read + Write + Send {
    fn set_timeout(&self, time: Duration) -> std::io::Result<()>;
}

impl Socket for TcpStream {
    fn set_timeout(&self, time: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

#[cfg(unix)]
impl Socket for std::os::unix::net::UnixStream {
    fn set_timeout(&self, time: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

/// A connection to a server.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    /// When waiting ends.
    pub deadline: Instant,
    /// The time that the deadline was made of, for the message.
    pub time: Duration,
    /// Bytes of the longest message that is taken in.
    pub longest: usize,
}

/// A message from the server: its type and what it holds.
pub(super) struct Message {
    pub kind: u8,
    body: Vec<u8>,
    at: usize,
}

impl Wire {
    /// Opens the socket.
    pub fn open(address: &Address, time: Duration, longest: usize) -> Result<Self, QueryError> {
        let fail = |error: std::io::Error| {
            let problem = Problem::failed(format!("cannot reach {address}")).detail(error.to_string());
            QueryError::Unavailable(problem.hint("check that the server runs, and the host and port in --db"))
        };
        let socket: Box<dyn Socket> = match &address.host {
            Host::Tcp(host) => {
                let places = (host.as_str(), address.port).to_socket_addrs().map_err(fail)?;
                let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
                let mut found = None;
                for place in places {
                    match TcpStream::connect_timeout(&place, time) {
                        Ok(socket) => {
                            found = Some(socket);
                            break;
                        }
                        Err(error) => last = error,
                    }
                }
                let socket = found.ok_or(last).map_err(fail)?;
                socket.set_nodelay(true).map_err(fail)?;
                Box::new(socket)
            }
            #[cfg(unix)]
            Host::Socket(folder) => {
                let path = folder.join(format!(".s.PGSQL.{}", address.port));
                Box::new(std::os::unix::net::UnixStream::connect(path).map_err(fail)?)
            }
            #[cfg(not(unix))]
            Host::Socket(_) => return Err(fail(ErrorKind::Unsupported.into())),
        };
        Ok(Self { socket, deadline: Instant::now() + time, time, longest })
    }

    /// Sends a message; `kind` 0 is the first one, which has none.
    pub fn send(&mut self, kind: u8, body: &[u8]) -> Result<(), QueryError> {
        let mut bytes = Vec::with_capacity(body.len() + 5);
        if kind != 0 {
            bytes.push(kind);
        }
        bytes.extend(u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(body);
        self.wait()?;
        self.socket.write_all(&bytes).map_err(|error| self.lost(&error))
    }

    /// The next message.
    pub fn receive(&mut self) -> Result<Message, QueryError> {
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let length = length.checked_sub(4).ok_or_else(garbled)?;
        if length > self.longest {
            return Err(QueryError::TooLarge(format!("a row is larger than {} bytes", self.longest)));
        }
        let mut body = vec![0; length];
        self.fill(&mut body)?;
        Ok(Message { kind: head[0], body, at: 0 })
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), QueryError> {
        let mut filled = 0;
        while filled < buffer.len() {
            self.wait()?;
            match self.socket.read(&mut buffer[filled..]) {
                Ok(0) => return Err(self.lost(&ErrorKind::UnexpectedEof.into())),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.lost(&error)),
            }
        }
        Ok(())
    }

    /// Sets the time that is left.
    fn wait(&self) -> Result<(), QueryError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(QueryError::TimedOut(self.time));
        }
        self.socket.set_timeout(left.max(Duration::from_millis(1))).map_err(|error| self.lost(&error))
    }

    fn lost(&self, error: &std::io::Error) -> QueryError {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => QueryError::TimedOut(self.time),
            _ => QueryError::Unavailable(
                Problem::failed("the connection to PostgreSQL broke off").detail(error.to_string()),
            ),
        }
    }
}

/// What the server said makes no sense.
pub(super) fn garbled() -> QueryError {
    QueryError::Unavailable(Problem::failed("this is no PostgreSQL server: its answer cannot be read"))
}

impl Message {
    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&[u8], QueryError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.body.len()).ok_or_else(garbled)?;
        let bytes = &self.body[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    /// What is left.
    pub fn rest(&mut self) -> &[u8] {
        let rest = &self.body[self.at..];
        self.at = self.body.len();
        rest
    }

    /// A 16-bit number.
    pub fn int16(&mut self) -> Result<usize, QueryError> {
        let bytes = self.bytes(2)?;
        Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    }

    /// A 32-bit number.
    pub fn int32(&mut self) -> Result<i32, QueryError> {
        let bytes = self.bytes(4)?;
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Text up to a NUL.
    pub fn text(&mut self) -> Result<String, QueryError> {
        let rest = &self.body[self.at..];
        let end = rest.iter().position(|byte| *byte == 0).ok_or_else(garbled)?;
        let text = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + 1;
        Ok(text)
    }
}
