//! A real name server on loopback for tests.

use super::testing::loopback;
use hickory_resolver::net::runtime::{Time, TokioRuntimeProvider};
use hickory_resolver::proto::op::{Metadata, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SOA, TXT};
use hickory_resolver::proto::rr::{LowerName, Name, RData, Record};
use hickory_server::Server;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, MessageResponseBuilder, ZoneType};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers from one zone; SERVFAIL for names that begin with `servfail`, a referral for `referral`.
struct Handler {
    catalog: Catalog,
    questions: Arc<AtomicUsize>,
}

// What `#[async_trait]` makes of the method, written out: the crate is not among our dependencies.
impl RequestHandler for Handler {
    fn handle_request<'a, 'b, 'c, R, T>(
        &'a self,
        request: &'b Request,
        mut response_handle: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'c>>
    where
        R: ResponseHandler + 'c,
        T: Time + 'c,
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            self.questions.fetch_add(1, Ordering::SeqCst);
            let name = request.queries.queries().first().map(|q| q.name().to_string()).unwrap_or_default();
            if name.starts_with("servfail") {
                let response =
                    MessageResponseBuilder::from_message_request(request).error_msg(&request.metadata, ResponseCode::ServFail);
                return response_handle.send_response(response).await.expect("sent");
            }
            if name.starts_with("referral") {
                let zone = Name::from_ascii("example.").expect("name");
                let server = RData::NS(NS(Name::from_ascii("ns.example.").expect("name")));
                let servers = [Record::from_rdata(zone, 60, server)];
                let metadata = Metadata::response_from_request(&request.metadata);
                let response = MessageResponseBuilder::from_message_request(request).build(metadata, [], &servers, [], []);
                return response_handle.send_response(response).await.expect("sent");
            }
            self.catalog.handle_request::<R, T>(request, response_handle).await
        })
    }
}

pub struct Dns {
    pub address: SocketAddr,
    pub questions: Arc<AtomicUsize>,
    _server: Server<Handler>,
}

/// Starts a server for the zone `example.`; `records`: one per line, `name TYPE data`, names below `example.` in full with
/// trailing dot.
pub async fn serve(records: &str) -> Dns {
    let origin = Name::from_ascii("example.").expect("name");
    let mut zone: InMemoryZoneHandler<TokioRuntimeProvider> =
        InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let soa = SOA::new(origin.clone(), origin.clone(), 1, 3600, 600, 86400, 60);
    zone.upsert_mut(Record::from_rdata(origin.clone(), 60, RData::SOA(soa)), 0);
    for line in records.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = |text: &str| Name::from_ascii(text).expect("name");
        let data = match words[1..] {
            ["MX", preference, host] => RData::MX(MX::new(preference.parse().expect("number"), name(host))),
            ["TXT", text] => RData::TXT(TXT::new(vec![text.to_owned()])),
            ["CNAME", host] => RData::CNAME(CNAME(name(host))),
            ["A" | "AAAA", ip] => match ip.parse().expect("address") {
                IpAddr::V4(v4) => RData::A(A(v4)),
                IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
            },
            _ => panic!("cannot read {line}"),
        };
        zone.upsert_mut(Record::from_rdata(name(words[0]), 60, data), 0);
    }
    let mut catalog = Catalog::new();
    catalog.upsert(LowerName::new(&origin), vec![Arc::new(zone)]);
    let questions = Arc::new(AtomicUsize::new(0));
    let mut server = Server::new(Handler { catalog, questions: questions.clone() });
    let socket = tokio::net::UdpSocket::bind(loopback(0)).await.expect("bind");
    let address = socket.local_addr().expect("address");
    server.register_socket(socket);
    Dns { address, questions, _server: server }
}
