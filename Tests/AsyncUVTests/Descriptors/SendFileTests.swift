import Foundation
import Testing
import UVCore
@testable import AsyncUV

@Suite struct SendFileTests {
    @Test(arguments: [true, false])
    func aFileIsSentInItsPlaceAmongTheWrites(isNative: Bool) async throws {
        try await withFilePair(isNative: isNative) { near, far in
            let content = pattern(1_500_000)
            let file = try marker(content)
            let sender = LoopTask {
                try await near.write("before".utf8)
                let sending = LoopTask { try await near.sendFile(file) }
                try await until { sending.isWaiting }
                try await near.write("after".utf8)
                #expect(try await sending.value == content.count)
                try near.closeWrite()
            }
            let arrived = try await far.readToEnd(limit: 10_000_000)
            #expect(Data(arrived) == Data("before".utf8) + Data(content) + Data("after".utf8))
            try await sender.value
            #expect(try Files.position(try #require(file.fileNumber)) == Int64(content.count))
        }
    }

    @Test(arguments: [true, false])
    func aPartOfAFileIsSentAndItsPositionIsBehindIt(isNative: Bool) async throws {
        try await withFilePair(isNative: isNative) { near, far in
            let content = counted(0..<1000)
            let file = try marker(content)
            let number = try #require(file.fileNumber)
            #expect(try await near.sendFile(file, offset: 100, count: 50) == 50)
            #expect(try Files.position(number) == 150)
            #expect(try await near.sendFile(file, offset: 990, count: 50) == 10)
            #expect(try Files.position(number) == 1000)
            #expect(try await near.sendFile(file, offset: 2000) == 0)
            #expect(try await near.sendFile(file, count: 0) == 0)
            #expect(try Files.position(number) == 0)
            try near.closeWrite()
            #expect(try await far.readToEnd(limit: 10_000_000) == Array(content[100..<150]) + Array(content[990...]))
        }
    }

    @Test func aPathIsOpenedAndClosed() async throws {
        try await withPair { near, far in
            try await withFolder { folder in
                try Data(counted(0..<5000)).write(to: URL(fileURLWithPath: folder + "/f"))
                #expect(try await near.sendFile(path: folder + "/f") == 5000)
                #expect(try await far.read(exactly: 5000) == counted(0..<5000))
                let error = await #expect(throws: LoopError.self) { try await near.sendFile(path: folder + "/missing") }
                #expect(error?.description == "sendFile \(folder)/missing: no such file or directory (ENOENT)")
                await expectCode(.misuse) { try await near.sendFile(path: folder) }
            }
        }
    }

    /// asyncio's `test_sock_sendfile_cancel1`, and the position of its `test_sendfile_partial`.
    @Test func entry118_cancelDuringSendFileLeavesNoWatcherAndThePositionSaysHowMuch() async throws {
        try await withPair { near, far in
            let content = pattern(20_000_000)
            let file = try marker(content)
            let sending = LoopTask { try await near.sendFile(file) }
            try await until { sending.isWaiting }
            try await untilItWaits(sending)
            let copy = try near.duplicateDescriptor()
            #expect(try openCount(copy) == 3)
            sending.cancel()
            await #expect(throws: CancelledError.self) { _ = try await sending.value }
            #expect(try openCount(copy) == 2)
            let sent = Int(try Files.position(try #require(file.fileNumber)))
            #expect(sent > 0 && sent < content.count)
            // The stream goes on where it stopped.
            let rest = LoopTask {
                try await near.sendFile(file, offset: Int64(sent))
                try near.closeWrite()
            }
            let arrived = try await far.readToEnd(limit: 30_000_000)
            #expect(Data(arrived) == Data(content))
            try await rest.value
        }
    }

    @Test func closeDuringSendFileSaysHowMuchWasSent() async throws {
        try await withPair { near, far in
            let file = try marker(pattern(20_000_000))
            let sending = LoopTask { try await near.sendFile(file) }
            try await until { sending.isWaiting }
            for _ in 0..<100 { try await LoopTask.yield() }
            near.abort()
            let error = await #expect(throws: LoopError.self) { _ = try await sending.value }
            let sent = try Files.position(try #require(file.fileNumber))
            #expect(error?.code == .closed && error?.detail.hasSuffix("; \(sent) bytes of the file were sent") == true, "\(error.map { "\($0)" } ?? "")")
            await expectCode(.closed) { try await near.sendFile(file) }
            _ = far
        }
    }

    @Test func aPeerThatBreaksOffIsALostConnectionAndThePositionSaysHowMuch() async throws {
        try await withPair { near, far in
            let file = try marker(pattern(20_000_000))
            let sending = LoopTask { try await near.sendFile(file) }
            try await until { sending.isWaiting }
            for _ in 0..<100 { try await LoopTask.yield() }
            far.abort()
            let error = await #expect(throws: LoopError.self) { _ = try await sending.value }
            let sent = try Files.position(try #require(file.fileNumber))
            #expect(error?.code == .connectionLost && error?.detail.hasSuffix("; \(sent) bytes of the file were sent") == true, "\(error.map { "\($0)" } ?? "")")
            await expectCode(.connectionLost) { try await near.write([1]) }
        }
    }

    @Test func whatIsNoRegularFileIsMisuse() async throws {
        try await withPair { near, far in
            let pipe = Pipe()
            let end = try OwnedDescriptor(duplicating: pipe.fileHandleForReading.fileDescriptor)
            await expectCode(.misuse) { try await near.sendFile(end) }
            let file = try marker()
            await expectCode(.misuse) { try await near.sendFile(file, offset: -1) }
            await expectCode(.misuse) { try await near.sendFile(file, count: -1) }
            file.close()
            await expectCode(.closed) { try await near.sendFile(file) }
            // None of that has hurt the stream.
            try await near.write([1])
            #expect(try await far.read() == [1])
        }
    }

    @Test func withoutSendfileItIsAnErrorOnlyIfOneAsksForThat() async throws {
        try await withFilePair(isNative: false) { near, far in
            let file = try marker("content")
            await expectSystem("ENOTSUP") { try await near.sendFile(file, fallsBack: false) }
            #expect(try await near.sendFile(file) == 7)
            #expect(try await far.read(exactly: 7) == Array("content".utf8))
        }
    }

    @Test func unixStreamsSendFilesToo() async throws {
        try await withUnixPair { near, far in
            let content = pattern(1_000_000)
            let file = try marker(content)
            let sending = LoopTask { try await near.sendFile(file) }
            let arrived = try await far.read(exactly: content.count)
            #expect(Data(arrived) == Data(content))
            #expect(try await sending.value == content.count)
        }
    }
}

/// Until it has done nothing but wait for a while.
private func untilItWaits(_ task: LoopTask<Int>) async throws {
    var still = 0
    while still < 20 {
        try await LoopTask.sleep(for: .milliseconds(1))
        still = task.isWaiting ? still + 1 : 0
    }
}

private func withFilePair(isNative: Bool, _ body: @escaping @Sendable (_ near: UnixStream, _ far: UnixStream) async throws -> Void) async throws {
    try await withLoop(clock: .system) {
        let loop = try #require(EventLoop.current)
        let (first, second) = try loop.network.pair(acceptsDescriptors: false, on: loop)
        let make = { UnixStream($0, peer: .unnamed, as: .label("a test"), loop: loop, file: #fileID, line: #line) }
        let near = make(isNative ? first : WithoutDescriptor(first))
        let far = make(second)
        defer {
            near.abort()
            far.abort()
        }
        try await body(near, far)
    }
}

/// A transport as a network in memory has them: bytes go through it, and there is no number for it.
private final class WithoutDescriptor: StreamTransport {
    private let inner: any StreamTransport

    init(_ inner: any StreamTransport) { self.inner = inner }

    func attach(_ owner: any StreamOwner) { inner.attach(owner) }
    var isReading: Bool { inner.isReading }
    func startReading() throws(UVError) { try inner.startReading() }
    func stopReading() { inner.stopReading() }
    func tryWrite(_ bytes: Span<UInt8>) throws(UVError) -> Int { try inner.tryWrite(bytes) }
    func write(_ chunk: UVChunk) throws(UVError) { try inner.write(chunk) }
    func shutdownWriting() throws(UVError) { try inner.shutdownWriting() }
    func set(_ option: SocketOption) throws(UVError) { try inner.set(option) }
    func localEndpoint() throws(UVError) -> Endpoint { try inner.localEndpoint() }
    var descriptor: Int32 { -1 }
    func reset() { inner.reset() }
    func close(then: (() -> Void)?) { inner.close(then: then) }
}
