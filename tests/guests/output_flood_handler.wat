;; Answers with all of its two megabytes of memory.
(module
  (memory (export "memory") 32)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "footloose_handle") (param i32 i32) (result i64) (i64.const 0x0000_0000_0020_0000)))
