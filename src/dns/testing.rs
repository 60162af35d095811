//! A real name server on loopback for tests.

use hickory_resolver::net::runtime::{Time, TokioRuntimeProvider};
use hickory_resolver::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SOA, TXT};
use hickory_resolver::proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_server::Server;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, MessageResponseBuilder, ZoneType};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// How late a slow answer is.
const SLOW: std::time::Duration = std::time::Duration::from_millis(300);

/// Answers from one zone. For names that begin so: `servfail` SERVFAIL, `servfail6` the same for
/// AAAA alone, `referral` a referral, `no4` no answer about A, `no6` none about AAAA, `mute` none
/// at all, `slow4` and `slow6` a late one about A or AAAA.
struct Handler {
    catalog: Catalog,
    questions: Arc<AtomicUsize>,
    unanswered: Arc<Mutex<BTreeSet<String>>>,
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
            let query = request.queries.queries().first();
            let name = query.map(|q| q.name().to_string()).unwrap_or_default();
            let kind = query.map_or(RecordType::ANY, |q| q.query_type());
            let silent = match name.split('.').next().unwrap_or_default() {
                "no4" => kind == RecordType::A,
                first if first.starts_with("no6") => kind == RecordType::AAAA,
                first => first.starts_with("mute"),
            };
            if silent {
                self.unanswered.lock().expect("lock").insert(name);
                let metadata = Metadata::response_from_request(&request.metadata);
                return Header {
                    metadata,
                    counts: HeaderCounts::default(),
                }
                .into();
            }
            let slow = if kind == RecordType::AAAA {
                "slow6"
            } else {
                "slow4"
            };
            if name.starts_with(slow) && matches!(kind, RecordType::A | RecordType::AAAA) {
                <T as Time>::delay_for(SLOW).await;
            }
            if name.starts_with("servfail")
                && (kind == RecordType::AAAA || !name.starts_with("servfail6"))
            {
                let response = MessageResponseBuilder::from_message_request(request)
                    .error_msg(&request.metadata, ResponseCode::ServFail);
                return response_handle.send_response(response).await.expect("sent");
            }
            if name.starts_with("referral") {
                let zone = Name::from_ascii("example.").expect("name");
                let server = RData::NS(NS(Name::from_ascii("ns.example.").expect("name")));
                let servers = [Record::from_rdata(zone, 60, server)];
                let metadata = Metadata::response_from_request(&request.metadata);
                let response = MessageResponseBuilder::from_message_request(request).build(
                    metadata,
                    [],
                    &servers,
                    [],
                    [],
                );
                return response_handle.send_response(response).await.expect("sent");
            }
            self.catalog
                .handle_request::<R, T>(request, response_handle)
                .await
        })
    }
}

pub(crate) struct Dns {
    pub address: SocketAddr,
    pub questions: Arc<AtomicUsize>,
    /// Names about which something was asked that was not answered.
    pub unanswered: Arc<Mutex<BTreeSet<String>>>,
    _server: Server<Handler>,
}

/// Starts a server for the zone `example.`; `records`: one per line, `name TYPE data`, names below
/// `example.` in full with trailing dot.
pub(crate) async fn serve(records: &str) -> Dns {
    let origin = Name::from_ascii("example.").expect("name");
    let mut zone: InMemoryZoneHandler<TokioRuntimeProvider> =
        InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let soa = SOA::new(origin.clone(), origin.clone(), 1, 3600, 600, 86400, 60);
    zone.upsert_mut(Record::from_rdata(origin.clone(), 60, RData::SOA(soa)), 0);
    for line in records.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = |text: &str| Name::from_ascii(text).expect("name");
        let data = match words[1..] {
            ["MX", preference, host] => {
                RData::MX(MX::new(preference.parse().expect("number"), name(host)))
            }
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
    let unanswered = Arc::new(Mutex::default());
    let mut server = Server::new(Handler {
        catalog,
        questions: questions.clone(),
        unanswered: unanswered.clone(),
    });
    let socket = tokio::net::UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .expect("bind");
    let address = socket.local_addr().expect("address");
    server.register_socket(socket);
    Dns {
        address,
        questions,
        unanswered,
        _server: server,
    }
}
