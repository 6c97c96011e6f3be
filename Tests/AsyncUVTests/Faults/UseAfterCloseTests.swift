import Testing
import UVCore
@testable import AsyncUV

/// Something public that can be asked of what is closed, and what it then says; nil: nothing, as it is no error.
struct Operation<Subject: Sendable>: Sendable {
    let name: String
    let code: LoopError.Code?
    let body: @Sendable (Subject) async throws -> Void

    init(_ name: String, _ code: LoopError.Code?, _ body: @escaping @Sendable (Subject) async throws -> Void) {
        self.name = name
        self.code = code
        self.body = body
    }

    func check(on subject: Subject, _ state: String, sourceLocation: SourceLocation) async {
        do {
            try await body(subject)
            #expect(code == nil, "\(name) of \(subject) \(state): nothing was thrown", sourceLocation: sourceLocation)
        } catch let error as LoopError {
            #expect(error.code == code, "\(name) of \(subject) \(state): \(error)", sourceLocation: sourceLocation)
        } catch {
            Issue.record("\(name) of \(subject) \(state): \(error)", sourceLocation: sourceLocation)
        }
    }
}

/// All that every stream can be asked.
let streamOperations: [Operation<LoopStream>] = [
    Operation("read()", .closed) { _ = try await $0.read() },
    Operation("read(atMost:)", .closed) { _ = try await $0.read(atMost: 1) },
    Operation("read(exactly:)", .closed) { _ = try await $0.read(exactly: 1) },
    Operation("read(until:)", .closed) { _ = try await $0.read(until: [10]) },
    Operation("read(untilAnyOf:)", .closed) { _ = try await $0.read(untilAnyOf: [[10], [13, 10]]) },
    Operation("readLine", .closed) { _ = try await $0.readLine() },
    Operation("readToEnd", .closed) { _ = try await $0.readToEnd(limit: 10) },
    Operation("lines", .closed) { for try await _ in $0.lines() {} },
    Operation("withBytes", .closed) { _ = try await $0.withBytes { $0.count } },
    Operation("withBytes(atLeast:)", .closed) { _ = try await $0.withBytes(atLeast: 2) { $0.count } },
    Operation("copy(to:)", .closed) { _ = try await $0.copy(to: $0) },
    Operation("write", .closed) { try await $0.write([1]) },
    Operation("write nothing", .closed) { try await $0.write([UInt8]()) },
    Operation("write, more than is ever admitted", .closed) { try await $0.write([UInt8](repeating: 0, count: 200_000)) },
    Operation("write(parts:)", .closed) { try await $0.write(parts: [[1], [2]]) },
    Operation("tryWrite", .closed) { _ = try $0.tryWrite([UInt8]([1]).span) },
    Operation("closeWrite", .closed) { try $0.closeWrite() },
    Operation("setHighWaterMark", .closed) { try $0.setHighWaterMark(10) },
    // Nothing is left to flush.
    Operation("flush", nil) { try await $0.flush() },
    Operation("close", nil) { try await $0.close() },
    Operation("waitClosed", nil) { try await $0.waitClosed() },
    Operation("abort", nil) { $0.abort() },
    Operation("isClosing", nil) { #expect($0.isClosing) },
    Operation("pendingBytes", nil) { #expect($0.pendingBytes == 0) },
    Operation("description", nil) { #expect(!$0.description.isEmpty) },
]

/// What is TCP's own.
let tcpOperations: [Operation<TCPStream>] = [
    Operation("localAddress", .closed) { _ = try $0.localAddress() },
    Operation("peerAddress", nil) { #expect($0.peerAddress.port != 0) },
    Operation("setNoDelay", .closed) { try $0.setNoDelay(true) },
    Operation("setKeepAlive", .closed) { try $0.setKeepAlive() },
    Operation("clearKeepAlive", .closed) { try $0.clearKeepAlive() },
    Operation("setUserTimeout", .closed) { try $0.setUserTimeout(.seconds(1)) },
    Operation("setSendBufferSize", .closed) { try $0.setSendBufferSize(4096) },
    Operation("setReceiveBufferSize", .closed) { try $0.setReceiveBufferSize(4096) },
]

let unixOperations: [Operation<UnixStream>] = [
    Operation("localAddress", .closed) { _ = try $0.localAddress() },
    Operation("peerAddress", nil) { _ = $0.peerAddress },
    Operation("peerCredentials", .closed) { _ = try $0.peerCredentials() },
    Operation("setSendBufferSize", .closed) { try $0.setSendBufferSize(4096) },
]

let unixListenerOperations: [Operation<UnixListener>] = [
    Operation("accept", .closed) { _ = try await $0.accept() },
    Operation("close", nil) { $0.close() },
    Operation("isClosed", nil) { #expect($0.isClosed) },
    Operation("acceptFailures", nil) { #expect($0.acceptFailures == 0) },
    Operation("description", nil) { #expect(!$0.description.isEmpty) },
]

let serverOperations: [Operation<StreamServer<TCPListener>>] = [
    Operation("close", nil) { $0.close() },
    Operation("closeClients", nil) { $0.closeClients() },
    Operation("cancelHandlers", nil) { $0.cancelHandlers() },
    Operation("abortClients", nil) { $0.abortClients() },
    Operation("waitClosed", nil) { try await $0.waitClosed() },
    Operation("shutDown", nil) { try await $0.shutDown(grace: .zero) },
    Operation("isClosed", nil) { #expect($0.isClosed) },
    Operation("statistics", nil) { #expect($0.statistics.current == 0) },
    Operation("description", nil) { #expect(!$0.description.isEmpty) },
    Operation("run", nil) { try await $0.run() },
]

let listenerOperations: [Operation<TCPListener>] = [
    Operation("accept", .closed) { _ = try await $0.accept() },
    Operation("close", nil) { $0.close() },
    Operation("isClosed", nil) { #expect($0.isClosed) },
    Operation("address", nil) { #expect($0.address.port != 0) },
    Operation("acceptFailures", nil) { #expect($0.acceptFailures == 0) },
    Operation("description", nil) { #expect(!$0.description.isEmpty) },
]

/// Every public operation, on every kind of thing that can be closed, in every state that follows.
@Suite struct UseAfterCloseTests {
    enum Ending: String, CaseIterable { case closed, aborted, closedInThisTurn, closedAfterAReset }

    /// Ends the stream, and leaves in the state that is asked for.
    static func end(_ near: LoopStream, _ far: LoopStream, _ ending: Ending) async throws {
        switch ending {
        case .closed:
            try await near.close()
            try await turns(100)
        case .aborted:
            near.abort()
            try await turns(100)
        case .closedInThisTurn: near.abort()
        case .closedAfterAReset:
            far.abort()
            // What kind of end it is depends on the kind of stream.
            _ = try? await near.read()
            try await near.close()
        }
    }

    @Test(arguments: StreamKind.twoWay, Ending.allCases)
    func fault18_everyOperationOfAClosedStreamSaysSo(kind: StreamKind, ending: Ending) async throws {
        try await withStreams(kind) { near, far in
            try await UseAfterCloseTests.end(near, far, ending)
            for operation in streamOperations { await operation.check(on: near, "\(ending)", sourceLocation: #_sourceLocation) }
            // Whoever got the descriptor's number next is not touched.
            let (other, otherFar) = try await kind.makePair()
            for operation in streamOperations { await operation.check(on: near, "\(ending), and its number reused", sourceLocation: #_sourceLocation) }
            try await other.write([1])
            #expect(try await otherFar.read() == [1])
            other.abort()
            otherFar.abort()
        }
    }

    @Test(arguments: Ending.allCases) func fault18_whatIsTCPsOwnSaysSoToo(ending: Ending) async throws {
        try await withPair { near, far in
            try await UseAfterCloseTests.end(near, far, ending)
            for operation in tcpOperations { await operation.check(on: near, "\(ending)", sourceLocation: #_sourceLocation) }
        }
    }

    @Test(arguments: Ending.allCases) func fault18_whatIsAUnixStreamsOwnSaysSoToo(ending: Ending) async throws {
        try await withLoop(clock: .system) {
            let (near, far) = try UnixStream.pair()
            try await UseAfterCloseTests.end(near, far, ending)
            for operation in unixOperations { await operation.check(on: near, "\(ending)", sourceLocation: #_sourceLocation) }
            far.abort()
            try await withFolder { folder in
                let listener = try UnixListener.listen(path: folder + "/s")
                listener.close()
                for operation in unixListenerOperations { await operation.check(on: listener, "closed", sourceLocation: #_sourceLocation) }
            }
        }
    }

    @Test func fault18_everyOperationOfAClosedServerSaysSo() async throws {
        try await withLoop(clock: .system) {
            let server = try StreamServer([try TCPListener.listen(host: "127.0.0.1", port: 0)]) { _ in }
            server.close()
            try await server.waitClosed()
            for _ in 0..<2 {
                for operation in serverOperations { await operation.check(on: server, "closed", sourceLocation: #_sourceLocation) }
                try await turns(100)
            }
        }
    }

    @Test func fault18_everyOperationOfAClosedListenerSaysSo() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            listener.close()
            for _ in 0..<2 {
                for operation in listenerOperations { await operation.check(on: listener, "closed", sourceLocation: #_sourceLocation) }
                try await turns(100)
            }
        }
    }

    /// What outlives its loop.
    @Test func fault18_everythingOfAClosedLoopSaysSo() async throws {
        let log = Log()
        let (near, far, listener, loop) = try await onOwnThread {
            let loop = try EventLoop()
            loop.setReportHandler { log("\($0)") }
            let task = LoopTask(on: loop) {
                let (near, far) = try await connectedPair()
                return (near, far, try TCPListener.listen(host: "127.0.0.1", port: 0))
            }
            let (near, far, listener) = try loop.runUntilComplete(task)
            #expect(try loop.close() == ["tcp": 2, "poll": 1])
            return (near, far, listener, loop)
        }
        // On a thread that is not the loop's, in a plain task; calls that belong to the loop's thread are misuse there.
        for stream in [near, far] as [LoopStream] {
            for operation in streamOperations {
                do {
                    try await operation.body(stream)
                } catch let error as LoopError {
                    #expect([.closed, .misuse].contains(error.code), "\(operation.name): \(error)")
                }
            }
        }
        for operation in tcpOperations {
            do {
                try await operation.body(near)
            } catch let error as LoopError {
                #expect([.closed, .misuse].contains(error.code), "\(operation.name): \(error)")
            }
        }
        for operation in listenerOperations { await operation.check(on: listener, "of a closed loop", sourceLocation: #_sourceLocation) }
        await expectCode(.closed) { try loop.callSoon {} }
        await expectCode(.closed) { try loop.callLater(.zero) {} }
        await expectCode(.closed) { try loop.callAt(loop.now) {} }
        await expectCode(.closed) { try loop.callSoonThreadsafe {} }
        await expectCode(.closed) { try loop.runForever() }
        await expectCode(.closed) { try loop.runUntilIdle() }
        await expectCode(.closed) { try TCPListener.listen(host: "127.0.0.1", port: 0, on: loop) }
        await expectCode(.closed) { try await TCPStream.connect(to: listener.address, on: loop) }
        await expectCode(.misuse) { try await LoopTask(on: loop) {}.value }
        await expectCode(.closed) { try await Future<Int>(on: loop).value }
        loop.stop()
        #expect(try loop.close().isEmpty)
        #expect(loop.statistics.activeHandles == 0)
        #expect(log.entries.isEmpty, "\(log.entries)")
    }
}
