import Foundation
import Testing
import UVCore
@testable import AsyncUV

@Suite struct UnixListenerTests {
    @Test func closingRemovesThePath() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let listener = try UnixListener.listen(path: folder + "/s")
                #expect(inode(folder + "/s") != nil)
                #expect("\(listener)" == "Unix listener at \(folder)/s")
                listener.close()
                listener.close()
                #expect(listener.isClosed)
                #expect(inode(folder + "/s") == nil)
            }
        }
    }

    @Test func cancelDuringAcceptLeavesTheConnectionForTheNext() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let listener = try UnixListener.listen(path: folder + "/s")
                let accepting = LoopTask { try await listener.accept() }
                try await until { accepting.isWaiting }
                accepting.cancel()
                await #expect(throws: CancelledError.self) { try await accepting.value }
                let near = try await UnixStream.connect(path: folder + "/s")
                let far = try await listener.accept()
                try await expectConnected(near, far)
                near.abort()
                far.abort()
                listener.close()
            }
        }
    }

    @Test func closeDuringAcceptThrowsClosedForAllWhoWait() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let listener = try UnixListener.listen(path: folder + "/s")
                let accepting = (0..<3).map { _ in LoopTask { try await listener.accept() } }
                try await until { accepting.allSatisfy(\.isWaiting) }
                listener.close()
                for task in accepting { await expectCode(.closed) { try await task.value } }
                await expectCode(.closed) { try await listener.accept() }
            }
        }
    }

    @Test func aListenerThatIsLetGoOfIsClosedAndReportedAndItsPathIsRemoved() async throws {
        let log = Log()
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                EventLoop.current?.setReportHandler { log("\($0)") }
                _ = try UnixListener.listen(path: folder + "/s")
                try await until { inode(folder + "/s") == nil }
                #expect(log.entries.count == 1 && log.entries[0].contains("a listener at \(folder)/s was never closed"), "\(log.entries)")
            }
        }
    }

    @Test func aLoopThatClosesRemovesThePathsOfItsListeners() async throws {
        try await withFolder { folder in
            try await onOwnThread {
                let loop = try EventLoop()
                let listener = try UnixListener.listen(path: folder + "/s", on: loop)
                try loop.close()
                #expect(inode(folder + "/s") == nil)
                #expect(listener.isClosed)
            }
        }
    }

    // MARK: permissions

    /// Whoever runs the tests may be root, whom no permission stops: the mode is what counts.
    @Test(arguments: [0o600, 0o660, 0o666, 0o777, 0])
    func thePermissionsAreWhatWasAskedForWhateverTheUmask(permissions: Int) async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let listener = try UnixListener.listen(path: folder + "/s", permissions: permissions)
                #expect(mode(folder + "/s") == permissions)
                listener.close()
                let newer = try UnixListener.listen(path: folder + "/t", permissions: permissions, existing: .takeOver)
                #expect(mode(folder + "/t") == permissions)
                newer.close()
            }
        }
    }

    @Test func permissionsOfAnAbstractNameAndImpossibleOnesAreMisuse() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                await expectCode(.misuse) { try UnixListener.listen(at: UnixAddress(abstract: folder), permissions: 0o600) }
                await expectCode(.misuse) { try UnixListener.listen(path: folder + "/s", permissions: 0o1000) }
                await expectCode(.misuse) { try UnixListener.listen(path: folder + "/s", permissions: -1) }
                await expectCode(.invalidAddress) { try UnixListener.listen(at: .unnamed) }
                #expect(contents(folder).isEmpty)
            }
        }
    }

    // MARK: what is at the path

    @Test func fault43_aDeadSocketIsReplaced() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                try leaveDeadSocket(at: folder + "/s")
                let dead = inode(folder + "/s")
                #expect(dead != nil)
                await expectSystem("EADDRINUSE") { try UnixListener.listen(path: folder + "/s", existing: .refuse) }
                #expect(inode(folder + "/s") == dead)
                let listener = try UnixListener.listen(path: folder + "/s")
                let near = try await UnixStream.connect(path: folder + "/s")
                let far = try await listener.accept()
                try await expectConnected(near, far)
                near.abort()
                far.abort()
                listener.close()
                #expect(contents(folder).isEmpty)
            }
        }
    }

    @Test func fault43_aLiveServersPathIsNotTouchedAndItNoticesNothing() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let path = folder + "/s"
                let first = try UnixListener.listen(path: path)
                let before = inode(path)
                let accepting = LoopTask { try await first.accept() }
                try await until { accepting.isWaiting }
                let error = #expect(throws: LoopError.self) { try UnixListener.listen(path: path) }
                #expect(try #require(error).description.hasPrefix("listen \(path): address already in use (EADDRINUSE); a socket that some process has open is there"))
                await expectSystem("EADDRINUSE") { try UnixListener.listen(path: path, existing: .refuse) }
                #expect(inode(path) == before)
                for _ in 0..<100 { try await LoopTask.yield() }
                #expect(!accepting.isDone, "the look at the path was a connection")
                let near = try await UnixStream.connect(path: path)
                let far = try await accepting.value
                try await expectConnected(near, far)
                near.abort()
                far.abort()
                first.close()
            }
        }
    }

    /// Bound, and not listening yet: to connect is refused, as with a dead one.
    @Test func fault43_aSocketThatDoesNotListenYetIsNotTakenForADeadOne() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let socket = try Sockets.openUnix()
                try Sockets.bindUnix(socket, to: UnixAddress(path: folder + "/s").name)
                let before = inode(folder + "/s")
                await expectCode(.system) { try await UnixStream.connect(path: folder + "/s") }
                await expectSystem("EADDRINUSE") { try UnixListener.listen(path: folder + "/s") }
                #expect(inode(folder + "/s") == before)
                withExtendedLifetime(socket) {}
            }
        }
    }

    @Test(arguments: ["file", "folder", "link", "dangling link", "fifo"], [UnixListener.ExistingSocket.replaceIfDead, .takeOver, .refuse])
    func fault43_whatIsNoSocketIsNeverTouched(kind: String, existing: UnixListener.ExistingSocket) async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let path = folder + "/s"
                switch kind {
                case "file": try Data("kept".utf8).write(to: URL(fileURLWithPath: path))
                case "folder": try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
                case "fifo": #expect(try Tool("mkfifo", path, input: "/dev/null").end() == 0)
                default:
                    if kind == "link" { try leaveDeadSocket(at: folder + "/target") }
                    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: folder + "/target")
                }
                let before = inode(path)
                let target = inode(folder + "/target")
                await expectSystem("ENOTSOCK") { try UnixListener.listen(path: path, existing: existing) }
                #expect(inode(path) == before && inode(folder + "/target") == target)
                #expect(contents(folder).count == (target == nil ? 1 : 2))
                if kind == "file" { #expect(try String(contentsOfFile: path, encoding: .utf8) == "kept") }
            }
        }
    }

    @Test func fault43_anOldServerThatClosesLeavesTheNewOnesPathAlone() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let path = folder + "/s"
                let old = try UnixListener.listen(path: path)
                // By somebody else's hand.
                try FileManager.default.removeItem(atPath: path)
                let new = try UnixListener.listen(path: path)
                let its = inode(path)
                old.close()
                #expect(inode(path) == its)
                let near = try await UnixStream.connect(path: path)
                let far = try await new.accept()
                try await expectConnected(near, far)
                near.abort()
                far.abort()
                // A file of another kind is not its own either.
                try FileManager.default.removeItem(atPath: path)
                try Data().write(to: URL(fileURLWithPath: path))
                new.close()
                #expect(inode(path) != nil)
            }
        }
    }

    /// A restart in which both run for a while, and no client is ever refused.
    @Test func fault43_aServerThatTakesOverLosesNoConnection() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let path = folder + "/s"
                let served = Log()
                let serve = { @Sendable (name: String, listener: UnixListener) in
                    LoopTask {
                        while true {
                            let stream = try await listener.accept()
                            served(name)
                            try await stream.write(name.utf8)
                            try await stream.close()
                        }
                    }
                }
                let clients = LoopTask {
                    var answers: [String] = []
                    while answers.last != "4" {
                        let stream = try await UnixStream.connect(path: path)
                        answers.append(String(decoding: try await stream.read(exactly: 1), as: UTF8.self))
                        try await stream.close()
                    }
                    return answers
                }
                var old = try UnixListener.listen(path: path, existing: .takeOver)
                var server = serve("0", old)
                for round in 1...4 {
                    try await until { served.entries.last == "\(round - 1)" }
                    let new = try UnixListener.listen(path: path, existing: .takeOver)
                    let next = serve("\(round)", new)
                    // The old one's backlog is served to its end.
                    try await until { served.entries.last == "\(round)" }
                    server.cancel()
                    _ = try? await server.value
                    old.close()
                    old = new
                    server = next
                }
                let answers = try await clients.value
                #expect(answers == answers.sorted() && Set(answers).count == 5)
                server.cancel()
                _ = try? await server.value
                old.close()
                #expect(contents(folder).isEmpty)
            }
        }
    }

    /// Each of them would take what the one before has just bound for a dead socket, if they did not agree.
    @Test func fault43_ofServersThatStartAtOnceOverADeadSocketOneListens() async throws {
        for _ in 0..<20 {
            try await withFolder { folder in
                let path = folder + "/s"
                try await withLoop(clock: .system) { try leaveDeadSocket(at: path) }
                let start = StartLine()
                let outcomes = try await withThrowingTaskGroup(of: UInt64?.self) { group in
                    for _ in 0..<4 {
                        group.addTask {
                            try await onOwnThread {
                                let loop = try EventLoop()
                                defer { _ = try? loop.close() }
                                start.arriveAndWait(for: 4)
                                let listener = try? UnixListener.listen(path: path, on: loop)
                                start.arriveAndWait(for: 8)
                                defer { listener?.close() }
                                return listener == nil ? nil : inode(path)
                            }
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(outcomes.count { $0 != nil } == 1)
                #expect(inode(path) == nil)
            }
        }
    }

    @Test func fault43_withoutTheFoldersLockADeadSocketStays() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let path = folder + "/s"
                try leaveDeadSocket(at: path)
                let dead = inode(path)
                let stranger = try Paths.lock(folder: Array(folder.utf8))
                if stranger == nil { Issue.record("the folder is not locked") }
                await expectSystem("EBUSY") { try UnixListener.listen(path: path) }
                #expect(inode(path) == dead)
                // Where nothing is, nothing can be taken away.
                try UnixListener.listen(path: folder + "/t").close()
                withExtendedLifetime(stranger) {}
            }
        }
    }

    // MARK: length

    @Test func fault43_aPathOf107BytesIsTakenWholeAndALongerOneRefused() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let path = folder + "/" + String(repeating: "p", count: 106 - folder.utf8.count)
                #expect(path.utf8.count == 107)
                let listener = try UnixListener.listen(path: path)
                #expect(inode(path) != nil)
                let near = try await UnixStream.connect(path: path)
                let far = try await listener.accept()
                #expect(near.peerAddress.path == path)
                #expect(try far.localAddress().path == path)
                near.abort()
                far.abort()
                listener.close()
                #expect(inode(path) == nil)
                await expectCode(.invalidAddress) { try UnixListener.listen(path: path + "p") }
                #expect(contents(folder).isEmpty)
            }
        }
    }

    @Test func aFolderThatDoesNotExistIsNamed() async throws {
        try await withLoop(clock: .system) {
            let error = #expect(throws: LoopError.self) { try UnixListener.listen(path: "/tmp/auv-missing/s") }
            #expect(error?.description == "listen /tmp/auv-missing/s: no such file or directory (ENOENT); its folder does not exist")
        }
    }

    /// asyncio's `test_unix_server_cleanup_replaced`, and the last line of its entry on servers.
    @Test func entry116_aUnixServerRemovesItsSocketOnlyIfItIsStillItsOwn() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let path = folder + "/s"
                let first = try UnixListener.listen(path: path)
                let second = try UnixListener.listen(path: path, existing: .takeOver)
                let its = inode(path)
                first.close()
                #expect(inode(path) == its)
                second.close()
                #expect(inode(path) == nil)
                // Gone already: nothing to remove.
                let third = try UnixListener.listen(path: path)
                try FileManager.default.removeItem(atPath: path)
                third.close()
            }
        }
    }

    @Test func theSocatProgramIsServed() async throws {
        guard Tool.exists("socat") else { return }
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let listener = try UnixListener.listen(path: folder + "/s")
                let text = counted(0..<300_000)
                try Data(text).write(to: URL(fileURLWithPath: folder + "/input"))
                let client = try Tool("socat", "-t10", "-", "UNIX-CONNECT:\(folder)/s", input: folder + "/input", output: URL(fileURLWithPath: folder))
                let stream = try await listener.accept()
                #expect(try stream.peerCredentials().processID != getpid())
                while let bytes = try await stream.read() { try await stream.write(bytes) }
                try await stream.close()
                #expect(client.end() == 0)
                #expect(try client.received() == Data(text))
                listener.close()
            }
        }
    }
}
