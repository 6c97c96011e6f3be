internal import UVCore

/// Looks names up as the system does (getaddrinfo, getnameinfo: `/etc/hosts`, the name servers, and whatever else `/etc/nsswitch.conf` names).
///
/// These calls block, for half a minute where no name server answers. They run on threads of the resolver's own, which neither files nor ``LoopTask/runBlocking(_:)`` wait for.
/// How long one takes is the system's matter (`/etc/resolv.conf`); `withTimeout` around it gives up sooner.
public final class SystemResolver: Resolver, CustomStringConvertible {
    /// The resolver of all loops that have no other.
    public static let shared = SystemResolver()

    public static let defaultThreadLimit = 16
    public static let defaultQueueLimit = 1024

    private let threads: WorkQueue
    private let threadLimit: Int
    private let queueLimit: Int
    private let calls: Calls

    /// The calls that block.
    struct Calls: Sendable {
        var addresses: @Sendable (HostQuery) throws(NameLookup.Failure) -> (names: [SocketName], canonicalName: String?)
        var host: @Sendable (SocketName) throws(NameLookup.Failure) -> String
    }

    /// - Parameters:
    ///   - threadLimit: look-ups at a time; at least 1. A thread without work ends after 10 seconds.
    ///   - queueLimit: look-ups that wait for a thread, at most. More are refused.
    public convenience init(threadLimit: Int = defaultThreadLimit, queueLimit: Int = defaultQueueLimit) {
        self.init(threadLimit: threadLimit, queueLimit: queueLimit, calls: .system)
    }

    init(threadLimit: Int = defaultThreadLimit, queueLimit: Int = defaultQueueLimit, calls: Calls) {
        self.threadLimit = max(threadLimit, 1)
        self.queueLimit = max(queueLimit, 0)
        self.calls = calls
        threads = WorkQueue(limit: self.threadLimit, queueLimit: self.queueLimit)
    }

    public var description: String { "system resolver" }

    /// What a ``SystemResolver`` is doing.
    public struct Statistics: Hashable, Sendable {
        /// Look-ups that have not begun.
        public let waiting: Int
        /// Look-ups that hold a thread.
        public let running: Int
        /// Those of them that were cancelled: nobody waits for them, but they hold their thread until the system gives them up.
        public let abandoned: Int
    }

    /// From any thread.
    public var statistics: Statistics {
        let counts = threads.counts
        return Statistics(waiting: counts.waiting, running: counts.running, abandoned: counts.abandoned)
    }

    /// - Cancellation: throws in the next turn. A look-up that has not begun never begins; one that runs holds its thread to its end, and counts as abandoned.
    /// - Throws: `LoopError` `.nameNotFound`, `.temporaryFailure`; `.queueFull` if too many wait for a thread; `.system`; `.misuse` where there is no event loop.
    public func addresses(for query: HostQuery) async throws -> HostAnswer {
        let calls = calls
        let (names, canonicalName) = try await call(query.description) { () throws(NameLookup.Failure) in try calls.addresses(query) }
        var addresses = names.map { SocketAddress($0) }
        if case .port(let port) = query.service { addresses = addresses.map { $0.with(port: port) } }
        return HostAnswer(addresses: addresses, canonicalName: canonicalName)
    }

    /// - Cancellation, Throws: as ``addresses(for:)``.
    public func hostName(of address: SocketAddress) async throws -> String {
        let calls = calls
        return try await call(address.host) { () throws(NameLookup.Failure) in try calls.host(address.name) }
    }

    private func call<Value: Sendable>(
        _ subject: String, _ body: @escaping @Sendable () throws(NameLookup.Failure) -> Value
    ) async throws -> Value {
        guard let task = EventLoop.current?.callingTask else {
            return try await bridged("resolve") { try await self.call(subject, body) }
        }
        let call = WorkCall<Value>(loop: task.loop)
        do {
            try call.start(body, on: threads)
        } catch {
            if error.name == "ENOBUFS" {
                throw LoopError(
                    .queueFull, "resolve", on: subject,
                    "\(queueLimit) look-ups wait for \(threadLimit) threads already: the name servers do not answer, or too much is asked at once")
            }
            throw LoopError(error, "resolve", on: subject, advice: "the limit of threads (ulimit -u) or memory is reached")
        }
        do {
            return try await call.value(for: task)
        } catch let failure as NameLookup.Failure {
            throw LoopError(failure, subject)
        }
    }
}

extension SystemResolver.Calls {
    static let system = SystemResolver.Calls(
        addresses: { query throws(NameLookup.Failure) in
            let family: NameLookup.Family =
                switch query.family {
                case .any: .any
                case .ipv4: .ipv4
                case .ipv6: .ipv6
                }
            var service: String?
            if case .named(let name) = query.service { service = name }
            return try NameLookup.addresses(
                host: query.host, service: service, family: family, onlyConfigured: query.onlyUsableFamilies, canonicalName: query.wantsCanonicalName)
        },
        host: { name throws(NameLookup.Failure) in try NameLookup.host(of: name) })
}

extension LoopError {
    fileprivate init(_ failure: NameLookup.Failure, _ subject: String) {
        let code: Code
        let advice: String
        switch failure.kind {
        case .notFound:
            code = .nameNotFound
            advice = ""
        case .temporary:
            code = .temporaryFailure
            advice = "; try again later, and look at /etc/resolv.conf if it stays so"
        case .other:
            code = .system
            advice = ""
        }
        self.init(
            code, "resolve", on: subject, "\(failure.message) (\(failure.name))\(advice)", systemCode: failure.systemCode == 0 ? nil : failure.systemCode)
    }
}
