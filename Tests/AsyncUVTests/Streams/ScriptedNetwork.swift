@testable import AsyncUV
import UVCore

/// A network on which each attempt to connect ends as the test says, on the loop's own time, and which counts what is open.
final class ScriptedNetwork: Network, @unchecked Sendable {
    // Sendable: touched on the loop's thread, and by the test when that has ended.

    enum Outcome {
        case connects(after: Duration)
        case fails(Int32, after: Duration)
        case connectsAtOnce
        case failsAtOnce(Int32)
        case never
        /// The attempt begins, and cannot be watched.
        case failsToWatch(Int32)
    }

    private let outcomes: [String: Outcome]
    let resolver: any Resolver
    /// What happened, and when, in milliseconds.
    let log = Log()
    /// Sockets that are not closed.
    fileprivate(set) var open = 0
    /// Each is closed at most once.
    fileprivate(set) var closedTwice = 0

    /// - Parameter outcomes: by address, without port; what is not there never answers.
    init(_ outcomes: [String: Outcome], names: [String: [String]] = [:]) {
        self.outcomes = outcomes
        resolver = TableResolver(names)
    }

    var isOutside: Bool { false }

    func connect(to remote: Endpoint, from local: Endpoint?, acceptsDescriptors: Bool, on loop: EventLoop) throws(UVError) -> any ConnectAttempt {
        let host = remote.address?.host ?? ""
        let outcome = outcomes[host] ?? .never
        note("\(host)\(local.map { " from \($0)" } ?? "")", loop)
        if case .failsAtOnce(let code) = outcome { throw UVError(code: -code, call: "connect") }
        open += 1
        return ScriptedAttempt(self, host, outcome, loop)
    }

    func listen(at endpoint: Endpoint, _ options: ListenOptions, on loop: EventLoop) throws(UVError) -> any ListenerTransport {
        throw UVError.notSupported("listen")
    }

    func pair(acceptsDescriptors: Bool, on loop: EventLoop) throws(UVError) -> (near: any StreamTransport, far: any StreamTransport) {
        throw UVError.notSupported("pair")
    }

    func datagrams(
        at local: SocketAddress?, to peer: SocketAddress?, _ setup: DatagramSetup, on loop: EventLoop
    ) throws(UVError) -> any DatagramTransport {
        throw UVError.notSupported("datagrams")
    }

    fileprivate func note(_ text: String, _ loop: EventLoop) { log("\(loop.now.nanoseconds / 1_000_000) \(text)") }
}

private final class ScriptedAttempt: ConnectAttempt {
    private let network: ScriptedNetwork
    private let host: String
    private let outcome: ScriptedNetwork.Outcome
    private let loop: EventLoop
    private var timer: LoopTimer?
    private var isReady = false
    /// It was given away, failed or cancelled.
    private var isOver = false

    init(_ network: ScriptedNetwork, _ host: String, _ outcome: ScriptedNetwork.Outcome, _ loop: EventLoop) {
        self.network = network
        self.host = host
        self.outcome = outcome
        self.loop = loop
    }

    func watch(_ onOutcome: @escaping () -> Void) throws(UVError) {
        switch outcome {
        case .connects(let time), .fails(_, let time):
            timer = loop.startTimer(
                at: loop.now.advanced(by: time),
                .call { [self] in
                    isReady = true
                    onOutcome()
                })
        case .failsToWatch(let code): throw UVError(code: -code, call: "epoll_ctl")
        default: return
        }
    }

    func takeConnection() throws(UVError) -> (any StreamTransport)? {
        switch outcome {
        case .connectsAtOnce: break
        case .connects where isReady: break
        case .fails(let code, _) where isReady:
            end("failed")
            throw UVError(code: -code, call: "connect")
        default: return nil
        }
        isOver = true
        network.note("\(host) connected", loop)
        return ScriptedTransport(network)
    }

    func cancel() {
        if !isOver { end("given up") }
    }

    private func end(_ how: String) {
        isOver = true
        network.open -= 1
        if let timer { loop.stopTimer(timer) }
        network.note("\(host) \(how)", loop)
    }
}

/// A connection over which nothing comes or goes.
private final class ScriptedTransport: StreamTransport {
    private let network: ScriptedNetwork
    private var owner: (any StreamOwner)?
    private var isClosed = false

    init(_ network: ScriptedNetwork) { self.network = network }

    func attach(_ owner: any StreamOwner) { self.owner = owner }
    var isReading: Bool { false }
    func startReading() throws(UVError) {}
    func stopReading() {}
    func tryWrite(_ bytes: Span<UInt8>) throws(UVError) -> Int { bytes.count }
    func write(_ chunk: UVChunk) throws(UVError) {}
    func shutdownWriting() throws(UVError) {}
    func set(_ option: SocketOption) throws(UVError) {}
    func localEndpoint() throws(UVError) -> Endpoint { .label("scripted") }
    var descriptor: Int32 { -1 }
    func reset() { close(then: nil) }

    func close(then: (() -> Void)?) {
        if isClosed {
            network.closedTwice += 1
        } else {
            isClosed = true
            network.open -= 1
            owner?.streamWillClose()
            owner = nil
        }
        then?()
    }
}
