;; Logs 100 kilobytes, then answers with an empty page.
(module
  (import "footloose" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "\r\n")
  (func (export "footloose_handle") (param i32 i32) (result i64)
    (local $times i32)
    (loop $again
      (call $log (i32.const 2048) (i32.const 1000))
      (local.set $times (i32.add (local.get $times) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $times) (i32.const 100))))
    (i64.const 2)))
