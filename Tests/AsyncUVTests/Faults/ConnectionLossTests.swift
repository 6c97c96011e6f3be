import Foundation
import Testing
import UVCore
@testable import AsyncUV

/// The peer breaks the connection off: it is an error of that connection, told by the next call, and neither busies the loop nor keeps a descriptor.
@Suite struct ConnectionLossTests {
    enum Moment: String, CaseIterable { case neverRead, readingIsArmed, midRead, midWrite, midBoth, halfClosed, lookingAtBytes }

    @Test(arguments: Moment.allCases) func fault38_aResetIsOneErrorAndTheLoopRests(moment: Moment) async throws {
        try await withPair { near, far in
            let loop = near.loop
            switch moment {
            case .neverRead: break
            case .readingIsArmed:
                let reader = LoopTask { try await near.read() }
                try await until { reader.isWaiting }
                reader.cancel()
                await #expect(throws: CancelledError.self) { try await reader.value }
            case .midRead:
                try await far.write([1, 2, 3])
                let reader = LoopTask { try await near.read(exactly: 10) }
                try await until { near.core.available == 3 }
                far.abort()
                await expectCode(.connectionLost) { try await reader.value }
                // What came before is there, for who asks for less.
                try await expectRest(of: loop)
                #expect(try await near.read() == [1, 2, 3])
            case .midWrite:
                let writer = try await near.fillUp(Shared([]))
                far.abort()
                await expectCode(.connectionLost) { try await writer.value }
            case .midBoth:
                let reader = LoopTask { try await near.read() }
                let writer = try await near.fillUp(Shared([]))
                let flushing = LoopTask { try await near.flush() }
                try await until { reader.isWaiting && flushing.isWaiting }
                far.abort()
                await expectCode(.connectionLost) { try await writer.value }
                await expectCode(.connectionLost) { try await flushing.value }
                await expectCode(.connectionLost) { try await reader.value }
            case .halfClosed:
                try near.closeWrite()
                #expect(try await far.read() == nil)
            case .lookingAtBytes:
                try await far.write([1, 2, 3])
                let used = try await near.withBytes(atLeast: 3) { bytes in
                    far.abort()
                    return 1
                }
                #expect(used == 1)
            }
            far.abort()
            try await expectRest(of: loop)
            if moment == .lookingAtBytes { #expect(try await near.read() == [2, 3]) }
            await expectCode(.connectionLost) { try await near.read() }
            await expectCode(.connectionLost) { try await near.read(exactly: 1) }
            if moment != .halfClosed {
                let error = await #expect(throws: LoopError.self) {
                    // Without an error of its own before, it is the kernel that says so.
                    try await near.write([1])
                    try await near.write([1])
                    try await near.flush()
                }
                #expect(error?.code == .connectionLost)
            }
            try await expectRest(of: loop)
            let watched = loop.watchedDescriptors
            try await near.close()
            #expect(near.core.transport == nil)
            #expect(loop.watchedDescriptors <= watched)
            try await turns(100)
            #expect(loop.uv?.openHandles()["tcp"] == nil)
        }
    }

    @Test func fault38_aResetDuringAcceptIsOfThatConnectionOnly() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            for waits in [false, true] {
                for _ in 0..<50 {
                    let accepting = waits ? LoopTask { try await listener.accept() } : nil
                    if let accepting { try await until { accepting.isWaiting } }
                    try await TCPStream.connect(to: listener.address).abort()
                    let client = try await TCPStream.connect(to: listener.address)
                    let first: TCPStream
                    if let accepting { first = try await accepting.value } else { first = try await listener.accept() }
                    // The kernel may have thrown the first one away, or hand it out broken.
                    if first.peerAddress != (try client.localAddress()) {
                        await expectCode(.connectionLost) { try await first.read() }
                        first.abort()
                        let second = try await listener.accept()
                        #expect(second.peerAddress == (try client.localAddress()))
                        second.abort()
                    } else {
                        first.abort()
                    }
                    client.abort()
                }
            }
            let accepting = LoopTask { try await listener.accept() }
            try await until { accepting.isWaiting }
            try await expectRest(of: loop)
            accepting.cancel()
            await #expect(throws: CancelledError.self) { try await accepting.value }
            listener.close()
        }
    }
}

/// The peer says nothing: neither yes nor no, nor anything more.
@Suite struct SilentPeerTests {
    /// A deadline that the machine was too busy for says nothing: the best of a few counts.
    private func expectTimeout(after limit: Duration, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void) async throws {
        // Of the code as it is: the thread sanitizer makes it ten times slower.
        let bound = Duration.milliseconds(ProcessInfo.processInfo.environment["TSAN_OPTIONS"] == nil ? 10 : 100)
        var best = Duration.seconds(1000)
        for _ in 0..<60 where best > bound {
            let began = ContinuousClock.now
            await #expect(throws: TimeoutError.self, sourceLocation: sourceLocation) { try await withTimeout(limit) { try await body() } }
            let late = ContinuousClock.now - began - limit
            #expect(late >= .zero, "\(late)", sourceLocation: sourceLocation)
            best = min(best, late)
        }
        #expect(best <= bound, "\(best)", sourceLocation: sourceLocation)
    }

    @Test func fault39_aConnectThatNobodyAnswersEndsAtItsDeadlineAndLeavesNothing() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0, backlog: 0)
            let fillers = try await fillBacklog(of: listener)
            let before = loop.watchedDescriptors
            try await expectTimeout(after: .milliseconds(30)) { try await TCPStream.connect(to: listener.address).abort() }
            #expect(loop.watchedDescriptors == before)
            for filler in fillers {
                filler.cancel()
                if let stream = try? await filler.value { stream.abort() }
            }
            listener.close()
            try await turns(200)
            #expect(loop.uv?.openHandles()["poll"] == nil && loop.outstanding == 0)
        }
    }

    @Test(arguments: StreamKind.twoWay) func fault39_readsAndWritesThatGetNoAnswerEndAtTheirDeadline(kind: StreamKind) async throws {
        try await withStreams(kind) { near, far in
            try await expectTimeout(after: .milliseconds(30)) { _ = try await near.read() }
            try await expectTimeout(after: .milliseconds(30)) { _ = try await near.readLine() }
            let sent = Shared<[UInt8]>([])
            let writer = try await near.fillUp(sent)
            writer.cancel()
            await #expect(throws: CancelledError.self) { try await writer.value }
            try await expectTimeout(after: .milliseconds(30)) { try await near.write([UInt8](repeating: 0, count: 65_536)) }
            try await expectTimeout(after: .milliseconds(30)) { try await near.flush() }
            // Nothing was lost by that: it goes on when the peer does.
            try await far.write([5])
            #expect(try await near.read() == [5])
            #expect(try await far.read(exactly: sent.value.count) == sent.value)
            // A close that takes too long closes. With more than the system can ever take from it, also if it makes room meanwhile.
            try near.setHighWaterMark(32 << 20)
            try await near.write([UInt8](repeating: 0, count: 32 << 20))
            #expect(near.pendingBytes > 16 << 20)
            await #expect(throws: TimeoutError.self) { try await withTimeout(.milliseconds(30)) { try await near.close() } }
            #expect(near.core.transport == nil)
        }
    }
}
