import Foundation
import Testing
@testable import AsyncUV

@Suite struct UnixStreamTests {
    @Test func bytesGoBothWaysAndTheEndIsSeen() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let listener = try UnixListener.listen(path: folder + "/s")
                let near = try await UnixStream.connect(path: folder + "/s")
                let far = try await listener.accept()
                try await expectConnected(near, far)
                #expect(near.peerAddress.path == folder + "/s")
                #expect(try near.localAddress() == .unnamed)
                #expect(far.peerAddress == .unnamed)
                #expect(try far.localAddress().path == folder + "/s")
                #expect("\(far)" == "Unix stream to a client of \(folder)/s")
                try near.closeWrite()
                #expect(try await far.read() == nil)
                try await far.close()
                #expect(try await near.read() == nil)
                try await near.close()
                listener.close()
            }
        }
    }

    @Test func abstractNamesNeedNoFileAndAreFreeAfterClosing() async throws {
        try await withLoop(clock: .system) {
            let address = try UnixAddress(abstract: "asyncuv test \(UInt64.random(in: .min ... .max))")
            for _ in 0..<2 {
                var opened: UnixListener?
                try await eventually {
                    // A program that another test starts at this moment has a copy of the last socket until it runs.
                    opened = try? UnixListener.listen(at: address)
                    return opened != nil
                }
                let listener = try #require(opened)
                await expectCode(.system) { try UnixListener.listen(at: address) }
                let near = try await UnixStream.connect(to: address)
                let far = try await listener.accept()
                try await expectConnected(near, far)
                #expect(try far.localAddress() == address)
                near.abort()
                far.abort()
                listener.close()
            }
            await expectCode(.system) {
                while true { try await UnixStream.connect(to: address).abort() }
            }
        }
    }

    @Test func aPairIsConnectedWithItself() async throws {
        try await withUnixPair { near, far in
            try await expectConnected(near, far)
            try await near.close()
            #expect(try await far.read() == nil)
        }
    }

    @Test func thePeersCredentialsAreThisProcesss() async throws {
        try await withUnixPair { near, far in
            let credentials = try far.peerCredentials()
            #expect(credentials.processID == getpid())
            #expect(credentials.userID == geteuid() && credentials.groupID == getegid())
            far.abort()
            await expectCode(.closed) { try far.peerCredentials() }
        }
    }

    @Test func errorsOfConnectNameThePathAndSayWhatToDo() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let path = folder + "/s"
                let missing = await #expect(throws: LoopError.self) { try await UnixStream.connect(path: path) }
                #expect("\(try #require(missing))".hasPrefix("connect \(path): no such file or directory (ENOENT); there is nothing at that path"))
                try leaveDeadSocket(at: path)
                let dead = await #expect(throws: LoopError.self) { try await UnixStream.connect(path: path) }
                #expect("\(try #require(dead))".contains("connection refused (ECONNREFUSED); nothing listens there"))
                await expectCode(.invalidAddress) { try await UnixStream.connect(path: folder + String(repeating: "x", count: 108)) }
                await expectCode(.invalidAddress) { try await UnixStream.connect(to: .unnamed) }
            }
        }
    }

    @Test func cancelDuringAReadLosesNothing() async throws {
        try await withUnixPair { near, far in
            let reader = LoopTask { try await far.read(exactly: 5) }
            try await until { reader.isWaiting }
            try await near.write("abc".utf8)
            try await until { far.core.available == 3 }
            reader.cancel()
            await #expect(throws: CancelledError.self) { try await reader.value }
            try await near.write("de".utf8)
            #expect(try await far.read(exactly: 5) == Array("abcde".utf8))
        }
    }

    @Test func closeDuringAReadThrowsClosed() async throws {
        try await withUnixPair { near, far in
            let reader = LoopTask { try await far.read() }
            try await until { reader.isWaiting }
            far.abort()
            await expectCode(.closed) { try await reader.value }
            await expectCode(.closed) { try await far.read() }
            await expectCode(.closed) { try await far.write("x".utf8) }
            #expect(try await near.read() == nil)
        }
    }

    // MARK: a full backlog

    /// The kernel says EAGAIN to a client that does not block, and nothing more when there is room.
    @Test(arguments: [EventLoop.Clock.system, .virtual])
    func connectWaitsWhileTheBacklogIsFull(clock: EventLoop.Clock) async throws {
        try await withLoop(clock: clock) {
            try await withFolder { folder in
                let listener = try UnixListener.listen(path: folder + "/s", backlog: 0)
                let first = try await UnixStream.connect(path: folder + "/s")
                let waiting = LoopTask { try await UnixStream.connect(path: folder + "/s") }
                try await until { waiting.isWaiting }
                let accepted = try await listener.accept()
                let second = try await waiting.value
                let other = try await listener.accept()
                try await expectConnected(second, other)
                for stream in [first, accepted, second, other] { stream.abort() }
                listener.close()
            }
        }
    }

    @Test func cancelWhileTheBacklogIsFullLeavesNothing() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let loop = try #require(EventLoop.current)
                let listener = try UnixListener.listen(path: folder + "/s", backlog: 0)
                let first = try await UnixStream.connect(path: folder + "/s")
                let waiting = LoopTask { try await UnixStream.connect(path: folder + "/s") }
                try await until { waiting.isWaiting }
                waiting.cancel()
                await #expect(throws: CancelledError.self) { try await waiting.value }
                #expect(loop.outstanding == 0)
                try await listener.accept().abort()
                // Nobody else is in the backlog.
                let accepting = LoopTask { try await listener.accept() }
                try await until { accepting.isWaiting }
                for _ in 0..<100 { try await LoopTask.yield() }
                #expect(!accepting.isDone)
                accepting.cancel()
                await #expect(throws: CancelledError.self) { try await accepting.value }
                first.abort()
                listener.close()
            }
        }
    }

    @Test func closeOfTheServerWhileTheBacklogIsFullRefusesWhoWaits() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let listener = try UnixListener.listen(path: folder + "/s", backlog: 0)
                let first = try await UnixStream.connect(path: folder + "/s")
                let waiting = LoopTask { try await UnixStream.connect(path: folder + "/s") }
                try await until { waiting.isWaiting }
                listener.close()
                await expectCode(.system) { try await waiting.value }
                first.abort()
            }
        }
    }

    @Test func waitingForAFullBacklogCostsNoProcessorTime() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let loop = try #require(EventLoop.current)
                let listener = try UnixListener.listen(path: folder + "/s", backlog: 0)
                let first = try await UnixStream.connect(path: folder + "/s")
                let waiting = LoopTask { try await UnixStream.connect(path: folder + "/s") }
                let before = loop.turn
                try await LoopTask.sleep(for: .milliseconds(500))
                #expect(loop.turn - before < 50)
                waiting.cancel()
                await #expect(throws: CancelledError.self) { try await waiting.value }
                first.abort()
                listener.close()
            }
        }
    }

    // MARK: half-close: who ends the writing first, with data pending or not

    @Test(arguments: [0, 1, 300_000], [0, 1, 300_000])
    func fault37_eachDirectionEndsByItselfAfterWhatWasWritten(there: Int, back: Int) async throws {
        try await withUnixPair { near, far in
            let sender = LoopTask {
                if there > 0 { try await near.write(pattern(there)) }
                try near.closeWrite()
                try near.closeWrite()
                await expectCode(.closed) { try await near.write("x".utf8) }
            }
            var arrived: [UInt8] = []
            while let bytes = try await far.read() { arrived += bytes }
            #expect(arrived == pattern(there))
            #expect(try await far.read() == nil)
            try await sender.value
            let answer = LoopTask {
                if back > 0 { try await far.write(pattern(back)) }
                try far.closeWrite()
            }
            var returned: [UInt8] = []
            while let bytes = try await near.read() { returned += bytes }
            #expect(returned == pattern(back))
            try await answer.value
            try await near.close()
            try await far.close()
        }
    }

    @Test func fault37_aWriteToAPeerThatHasClosedIsALostConnection() async throws {
        try await withUnixPair { near, far in
            try await far.close()
            await expectCode(.connectionLost) {
                while true {
                    try await near.write("x".utf8)
                    try await near.flush()
                }
            }
            #expect(try await near.read() == nil)
        }
    }

    @Test func fault18_everyOperationOnAClosedStreamThrowsClosed() async throws {
        try await withUnixPair { near, far in
            near.abort()
            near.abort()
            try await near.close()
            try await near.waitClosed()
            await expectCode(.closed) { try await near.read() }
            await expectCode(.closed) { try await near.read(exactly: 1) }
            await expectCode(.closed) { try await near.withBytes { $0.count } }
            await expectCode(.closed) { try await near.write("x".utf8) }
            await expectCode(.closed) { try near.closeWrite() }
            await expectCode(.closed) { try near.localAddress() }
            await expectCode(.closed) { try near.peerCredentials() }
            await expectCode(.closed) { try near.setSendBufferSize(1000) }
            #expect(near.isClosing)
        }
    }

    @Test func fault20_aStreamThatIsLetGoOfOnAnotherThreadIsClosedOnItsLoop() async throws {
        let log = Log()
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            loop.setReportHandler { log("\($0)") }
            var (near, far): (UnixStream?, UnixStream) = try UnixStream.pair()
            let held = Held(near)
            near = nil
            Thread.detachNewThread { held.object = nil }
            #expect(try await far.read() == nil)
            far.abort()
            #expect(log.entries.count == 1 && log.entries[0].contains("never closed"), "\(log.entries)")
        }
    }
}

/// Lets go of something on another thread.
final class Held: @unchecked Sendable {
    // Sendable: one thread has it after the other.
    var object: AnyObject?
    init(_ object: AnyObject?) { self.object = object }
}
