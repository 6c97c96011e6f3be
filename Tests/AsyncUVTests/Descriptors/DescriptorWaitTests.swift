import Foundation
import Testing
import UVCore
@testable import AsyncUV

/// Two connected sockets that belong to nobody's stream, for the time of `body`; fails if the loop still knows of one afterwards.
private func withSockets(
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable (_ loop: EventLoop, _ near: OwnedDescriptor, _ far: OwnedDescriptor) async throws -> Void
) async throws {
    try await withLoop(sourceLocation: sourceLocation) {
        let loop = try #require(EventLoop.current)
        switch try Sockets.unixPair() {
        case .pair(let near, let far):
            let near = OwnedDescriptor(near)
            try await body(loop, near, OwnedDescriptor(far))
            if near.fileNumber != nil { #expect(try openCount(near) == 1, sourceLocation: sourceLocation) }
        }
        #expect(loop.descriptorWaits.isEmpty, sourceLocation: sourceLocation)
        #expect(loop.outstanding == 0, sourceLocation: sourceLocation)
        #expect(loop.uv?.openHandles()["poll"] == nil, sourceLocation: sourceLocation)
    }
}

extension OwnedDescriptor {
    fileprivate var number: Int32 { fileNumber ?? -1 }

    /// Until the system takes no more.
    fileprivate func fill() throws { while try Sockets.send(number, counted(0..<65_536).span) > 0 {} }

    fileprivate func drain() throws {
        let chunk = UVChunkPool(limit: 0).take()
        while (try? Sockets.receive(number, into: chunk) { _ in }) != nil { chunk.consume(chunk.count) }
    }
}

@Suite struct DescriptorWaitTests {
    @Test func waitUntilReadableReturnsWhenBytesOrTheEndHaveCome() async throws {
        try await withSockets { loop, near, far in
            let waiting = LoopTask { try await loop.waitUntilReadable(near.number) }
            try await until { waiting.isWaiting }
            for _ in 0..<100 { try await LoopTask.yield() }
            #expect(!waiting.isDone)
            _ = try Sockets.send(far.number, [1].span)
            try await waiting.value
            // Still there: nobody has read it.
            try await loop.waitUntilReadable(near.number)
            try near.drain()
            let end = LoopTask { try await loop.waitUntilReadable(near.number) }
            try await until { end.isWaiting }
            far.close()
            try await end.value
        }
    }

    @Test func waitUntilWritableReturnsWhenThereIsRoomOrThePeerIsGone() async throws {
        try await withSockets { loop, near, far in
            try await loop.waitUntilWritable(near.number)
            try near.fill()
            let waiting = LoopTask { try await loop.waitUntilWritable(near.number) }
            try await until { waiting.isWaiting }
            for _ in 0..<100 { try await LoopTask.yield() }
            #expect(!waiting.isDone)
            try far.drain()
            try await waiting.value
            try near.fill()
            let lost = LoopTask { try await loop.waitUntilWritable(near.number) }
            try await until { lost.isWaiting }
            far.close()
            try await lost.value
        }
    }

    @Test func cancelDuringAWaitLeavesNoWatcher() async throws {
        try await withSockets { loop, near, far in
            for wait in [{ try await loop.waitUntilReadable(near.number) }, { try await loop.waitUntilWritable(near.number) }] as [@Sendable () async throws -> Void] {
                try near.fill()
                let waiting = LoopTask { try await wait() }
                try await until { waiting.isWaiting }
                #expect(try openCount(near) == 2)
                waiting.cancel()
                await #expect(throws: CancelledError.self) { try await waiting.value }
                #expect(try openCount(near) == 1)
            }
            _ = far
        }
    }

    @Test func bothDirectionsCanBeWaitedForAtOnceAndASecondTaskIsBusy() async throws {
        try await withSockets { loop, near, far in
            try near.fill()
            let reading = LoopTask(name: "reading") { try await loop.waitUntilReadable(near.number) }
            let writing = LoopTask(name: "writing") { try await loop.waitUntilWritable(near.number) }
            try await until { reading.isWaiting && writing.isWaiting }
            let error = await #expect(throws: LoopError.self) { try await loop.waitUntilReadable(near.number) }
            #expect(error?.code == .busy && error?.detail.contains("task reading waits") == true)
            await expectCode(.busy) { try await loop.waitUntilWritable(near.number) }
            _ = try Sockets.send(far.number, [1].span)
            try await reading.value
            #expect(writing.isWaiting)
            try far.drain()
            try await writing.value
        }
    }

    @Test func filesFoldersAndMissingDescriptorsAreErrors() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let file = try marker()
            let error = await #expect(throws: LoopError.self) { try await loop.waitUntilReadable(file.number) }
            #expect(error?.detail.contains("EPERM") == true && error?.detail.contains("always ready") == true)
            await expectSystem("EPERM") { try await loop.waitUntilWritable(file.number) }
            await expectSystem("EBADF") { try await loop.waitUntilReadable(1_000_000) }
            await expectSystem("EBADF") { try await loop.waitUntilReadable(-1) }
            #expect(loop.descriptorWaits.isEmpty)
        }
    }

    /// asyncio's add_reader changes nothing about the descriptor either.
    @Test func aBlockingDescriptorStaysOne() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let pipe = Pipe()
            let number = pipe.fileHandleForReading.fileDescriptor
            let flags = { try String(contentsOfFile: "/proc/self/fdinfo/\(number)", encoding: .utf8).split(separator: "\n").first { $0.hasPrefix("flags") } }
            let before = try flags()
            let waiting = LoopTask { try await loop.waitUntilReadable(number) }
            try await until { waiting.isWaiting }
            #expect(try flags() == before)
            try pipe.fileHandleForWriting.write(contentsOf: Data([1]))
            try await waiting.value
            #expect(try flags() == before)
        }
    }

    @Test func plainTasksMayWait() async throws {
        try await withSockets { loop, near, far in
            let waiting = Task { try await loop.waitUntilReadable(near.number) }
            try await until { !loop.descriptorWaits.isEmpty }
            _ = try Sockets.send(far.number, [1].span)
            try await LoopTask.foreign { try await waiting.value }
        }
    }

    /// The number is used again at once, for something else: who waited for the first file is told as soon as it can be known.
    @Test func fault23_aNumberThatWasUsedAgainEndsTheOldWait() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let old = Pipe()
            let number = old.fileHandleForReading.fileDescriptor
            let waiting = LoopTask { try await loop.waitUntilReadable(number) }
            try await until { waiting.isWaiting }
            let new = Pipe()
            #expect(dup2(new.fileHandleForReading.fileDescriptor, number) == number)
            let next = LoopTask { try await loop.waitUntilReadable(number) }
            await expectCode(.closed) { try await waiting.value }
            #expect(next.isWaiting)
            try new.fileHandleForWriting.write(contentsOf: Data([1]))
            try await next.value
            #expect(loop.descriptorWaits.isEmpty)
        }
    }

    /// In a process of its own: libuv would abort.
    @Test func fault23_descriptorsClosedBehindTheLoopsBackDoNoHarm() async throws {
        let (lines, errors, status) = try await onOwnThread { try ChildProgram("UnixProbe", "behind").end() }
        #expect(lines == ["2000 waits, 0 for the wrong file, 0 descriptors left"], "\(lines)")
        #expect(status == 0 && errors.isEmpty, "\(errors)")
    }
}
