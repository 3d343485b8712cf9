"""GOT, Table 4: MNIST, features from a middle layer."""

from benchmarks.papers.adversarial import table_of
from benchmarks.transport.recipes import MIDDLE_LAYER

TABLE = table_of("MNIST, features from a middle layer (GOT, Table 4)", MIDDLE_LAYER)
