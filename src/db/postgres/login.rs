//! Proving who asks: trust, password, MD5 and SCRAM-SHA-256.
//!
//! Sources: PostgreSQL documentation, "SASL Authentication"; RFC 5802 and RFC 7677 (SCRAM). The password is used as it
//! is written: SASLprep, which PostgreSQL skips for text it cannot prepare, only matters outside ASCII.

use std::hash::{BuildHasher as _, RandomState};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::address::{Address, no_tls};
use super::session::server_error;
use super::wire::{Message, Wire, garbled};
use crate::db::QueryError;
use crate::error::Problem;

/// Answers the server's questions until it lets us in.
pub(super) fn login(wire: &mut Wire, address: &Address) -> Result<(), QueryError> {
    let mut exchange: Option<Scram> = None;
    loop {
        let mut message = wire.receive()?;
        match message.kind {
            b'R' => {}
            b'E' => return Err(refused(&mut message, address)),
            b'N' | b'v' => continue,
            _ => return Err(garbled()),
        }
        match message.int32()? {
            0 => return Ok(()),
            3 if address.is_local() => wire.send(b'p', &with_nul(address.password.as_bytes()))?,
            // Whoever listens on the way would have it.
            3 => {
                let problem = no_tls();
                return Err(QueryError::Unavailable(problem.detail("the server asks for the password in clear text")));
            }
            5 => {
                let salt = message.bytes(4)?.to_owned();
                wire.send(b'p', &with_nul(md5_response(address, &salt).as_bytes()))?;
            }
            10 => {
                let offered = String::from_utf8_lossy(message.rest()).into_owned();
                if !offered.split('\0').any(|name| name == "SCRAM-SHA-256") {
                    return Err(unknown_method(&offered.replace('\0', " ")));
                }
                let scram = exchange.insert(Scram::new(&address.password, &nonce()));
                let first = scram.first();
                let mut body = b"SCRAM-SHA-256\0".to_vec();
                body.extend((first.len() as u32).to_be_bytes());
                body.extend(first.as_bytes());
                wire.send(b'p', &body)?;
            }
            11 => {
                let scram = exchange.as_mut().ok_or_else(garbled)?;
                let server_first = String::from_utf8_lossy(message.rest()).into_owned();
                let last = scram.last(&server_first).ok_or_else(garbled)?;
                wire.send(b'p', last.as_bytes())?;
            }
            12 => {
                let scram = exchange.as_ref().ok_or_else(garbled)?;
                if !scram.is_server(&String::from_utf8_lossy(message.rest())) {
                    let problem = Problem::failed(format!("{address} does not know the password it checked"));
                    return Err(QueryError::Unavailable(problem.hint("somebody may stand between you and the server")));
                }
            }
            other => return Err(unknown_method(&format!("method {other}"))),
        }
    }
}

fn refused(message: &mut Message, address: &Address) -> QueryError {
    let error = server_error(message);
    let problem = Problem::failed(format!("{address} does not let us in")).detail(error.message);
    let hint = match error.code.as_str() {
        "28P01" | "28000" => "check user and password in --db; the password may stand in PGPASSWORD",
        "3D000" => "check the database's name in --db",
        _ => "check --db",
    };
    QueryError::Unavailable(problem.hint(hint))
}

fn unknown_method(offered: &str) -> QueryError {
    let problem = Problem::failed(format!("the server wants an authentication we do not know: {offered}"));
    QueryError::Unavailable(problem.hint("trust, password, md5 and scram-sha-256 are known (pg_hba.conf)"))
}

fn with_nul(bytes: &[u8]) -> Vec<u8> {
    [bytes, b"\0"].concat()
}

/// `md5` + md5(md5(password + user) + salt), in hexadecimal digits.
fn md5_response(address: &Address, salt: &[u8]) -> String {
    let inner = hex(&Md5::digest([address.password.as_bytes(), address.user.as_bytes()].concat()));
    format!("md5{}", hex(&Md5::digest([inner.as_bytes(), salt].concat())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text that was never used before; it need not be secret. The standard library keys its hashers from the system's
/// random numbers.
fn nonce() -> String {
    let word = || RandomState::new().hash_one(std::time::SystemTime::now());
    format!("{:016x}{:016x}", word(), word())
}

/// The exchange of RFC 5802 without channel binding.
struct Scram {
    password: String,
    nonce: String,
    /// What the server must prove it knows; set by [`Scram::last`].
    server_signature: Option<String>,
}

impl Scram {
    fn new(password: &str, nonce: &str) -> Self {
        Self { password: password.to_owned(), nonce: nonce.to_owned(), server_signature: None }
    }

    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    fn first(&self) -> String {
        format!("n,,{}", self.bare())
    }

    /// Our proof, from the server's nonce, salt and number of iterations; none if its message makes no sense.
    fn last(&mut self, server_first: &str) -> Option<String> {
        let field = |name: char| server_first.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let (nonce, salt) = (field('r')?, BASE64.decode(field('s')?).ok()?);
        // Four million rounds take a second; a server that asks for more wants to keep us busy.
        let rounds: u32 = field('i')?.parse().ok().filter(|rounds| (1..=4_000_000).contains(rounds))?;
        if !nonce.starts_with(&self.nonce) {
            return None;
        }
        let salted = salted_password(self.password.as_bytes(), &salt, rounds);
        let client_key = hmac(&salted, b"Client Key");
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{server_first},{without_proof}", self.bare());
        let signature = hmac(&Sha256::digest(client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        self.server_signature = Some(BASE64.encode(hmac(&hmac(&salted, b"Server Key"), signed.as_bytes())));
        Some(format!("{without_proof},p={}", BASE64.encode(proof)))
    }

    fn is_server(&self, server_last: &str) -> bool {
        self.server_signature.as_deref().is_some_and(|expected| server_last.strip_prefix("v=") == Some(expected))
    }
}

/// PBKDF2 with one block.
fn salted_password(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let mut last = hmac(password, &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = last;
    for _ in 1..rounds {
        last = hmac(password, &last);
        sum.iter_mut().zip(last).for_each(|(sum, last)| *sum ^= last);
    }
    sum
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    match key.len() {
        0..=64 => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scram_is_that_of_rfc_7677() {
        // The RFC's example has the user's name in its first message; PostgreSQL takes it from the start message.
        let mut scram = Scram::new("pencil", "rOprNGfwEbeRWgbNEkqO");
        let server_first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let salted = salted_password(b"pencil", &BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096);
        let signed = format!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,{server_first},c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        );
        let key = hmac(&salted, b"Client Key");
        let signature = hmac(&Sha256::digest(key), signed.as_bytes());
        let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(BASE64.encode(proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let server = BASE64.encode(hmac(&hmac(&salted, b"Server Key"), signed.as_bytes()));
        assert_eq!(server, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");

        assert!(scram.last(server_first).unwrap().starts_with("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)"));
        assert!(!scram.is_server("v=AAAA"), "a server that does not know the password");
        for hostile in ["r=other,s=W22Z,i=4096", "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4000000000", "", "r=", "s=,i=,r="] {
            assert!(scram.last(hostile).is_none(), "{hostile}");
        }
    }

    #[test]
    fn md5_is_that_of_postgresql() {
        let address = Address::parse("//joe:secret@h/d").unwrap();
        // echo -n $(echo -n secretjoe | md5sum)$(printf '\1\2\3\4') | md5sum
        let inner = hex(&Md5::digest(b"secretjoe"));
        assert_eq!(hex(&Md5::digest(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(inner.len(), 32);
        assert!(md5_response(&address, &[1, 2, 3, 4]).starts_with("md5"));
        assert_ne!(nonce(), nonce());
    }
}
